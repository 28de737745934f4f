"""PRADA: attribution in one step, by a calibrated likelihood ratio per generator.

Source: Damm et al., "PRADA" (2026), and its released code: per-token d = (2 − α) ln p(t | class) − α ln p(t | null), a
small MLP g on d, averaged per scale and weighted over scales.
"""

import math
from dataclasses import dataclass, field
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HIDDEN = 16
SMOOTHING = 0.025


class PradaCalibrator(nn.Module):
    """Score of one generator: positive for its own images.

    Args:
        lengths: Tokens of every scale (VAR), or one scale of all tokens (RAR), whose weight is then fixed at 1.
        inputs: 1 for the balanced ratio d; 2 if g takes both log-probabilities (no α).
    """

    def __init__(self, lengths: tuple[int, ...], inputs: int = 1) -> None:
        super().__init__()
        if inputs not in (1, 2):
            raise ValueError(f"inputs must be 1 (the ratio) or 2 (both log-probabilities), got {inputs}")
        self.lengths = lengths
        self.inputs = inputs
        if inputs == 1:
            self.alpha = nn.Parameter(torch.ones(1))
        K = len(lengths)
        self.w = nn.Parameter(torch.full((K,), 1.0 / K), requires_grad=K > 1)
        self.net = nn.Sequential(
            nn.Linear(inputs, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, HIDDEN), nn.ELU(), nn.Linear(HIDDEN, 1)
        )

    def ratio(self, lp: Tensor) -> Tensor:
        """Input of g, [B, L, inputs], from log-probabilities [B, L, 2] = (conditional, null)."""
        if self.inputs == 2:
            return lp
        return ((2 - self.alpha) * lp[..., 0] - self.alpha * lp[..., 1])[..., None]

    def token_scores(self, d: Tensor) -> Tensor:
        """The MLP g of its inputs [..., inputs] → [...]."""
        return cast(Tensor, self.net(d)[..., 0])

    def forward(self, lp: Tensor, noise: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Score images.

        Args:
            lp: [B, L, 2] = (conditional, null) log-probabilities of the tokens.
            noise: Standard deviation of Gaussian noise on d, relative to d's own in each scale over the batch.
            generator: Source of the noise.

        Returns:
            [B].

        Raises:
            ValueError: If the number of tokens is not this calibrator's.
        """
        if lp.shape[1:] != (sum(self.lengths), 2):
            raise ValueError(
                f"expected log-probabilities [B, {sum(self.lengths)}, 2], got {tuple(lp.shape)}; "
                "is this the right family's calibrator?"
            )
        means = []
        for part in torch.split(self.ratio(lp), list(self.lengths), 1):
            d = part
            if noise:
                d = d + torch.randn(d.shape, generator=generator, device=d.device) * (noise * noise_scale(d))
            means.append(self.token_scores(d).mean(1))
        return torch.stack(means, 1) @ self.w


def noise_scale(d: Tensor) -> Tensor:
    """Unbiased standard deviation of one scale's d over the whole batch."""
    return d.detach().std()


@dataclass
class PradaHistory:
    """History of a fit, one entry per epoch: loss and AUROC before the update, α after it."""

    loss: list[float] = field(default_factory=list)
    auroc: list[float] = field(default_factory=list)
    alpha: list[float] = field(default_factory=list)


def smoothed(is_own: Tensor) -> Tensor:
    """Targets 0.975 for the generator's own images, 0.025 for the rest."""
    return torch.where(is_own.bool(), 1 - SMOOTHING, SMOOTHING)


def auroc(scores: Tensor, is_own: Tensor) -> float:
    """Probability that an own image has a higher score than another one; a tie counts half."""
    own, rest = scores[is_own.bool()], scores[~is_own.bool()]
    if not len(own) or not len(rest):
        return math.nan
    greater = (own[:, None] > rest).double() + 0.5 * (own[:, None] == rest).double()
    return float(greater.mean())


def fit(
    calibrator: PradaCalibrator,
    lp: Tensor,
    targets: Tensor,
    *,
    epochs: int = 3000,
    lr: float = 1e-3,
    noise: float = 0.1,
    seed: int = 42,
) -> PradaHistory:
    """Fit one calibrator in place, full batch, with the published loss and optimiser.

    Args:
        calibrator: Starts from its present weights.
        lp: [N, L, 2]; published: 250 own and 250 real images. To distinguish siblings, the negatives must also
            include images of the siblings and of the other family.
        targets: [N], from :func:`smoothed`.
        epochs: Updates.
        lr: Learning rate of AdamW, whose default weight decay also acts on α and w, as in the original.
        noise: See :meth:`PradaCalibrator.forward`.
        seed: Random seed of the noise.

    Raises:
        ValueError: If all targets are on one side.
    """
    is_own = targets > 0.5
    if bool(is_own.all()) or not bool(is_own.any()):
        raise ValueError("PRADA needs both the generator's own images and others, but all targets are on one side")
    generator = torch.Generator(lp.device).manual_seed(seed)
    trained = [p for p in calibrator.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=lr)
    history = PradaHistory()
    for _ in range(epochs):
        scores = calibrator(lp, noise, generator)
        penalty = 0.1 * (calibrator.w.abs().sum() - 1).square()
        loss = F.binary_cross_entropy_with_logits(scores, targets) + penalty
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        history.loss.append(float(loss.detach()))
        history.auroc.append(auroc(scores.detach(), is_own))
        if calibrator.inputs == 1:
            history.alpha.append(float(calibrator.alpha.detach()))
    return history
