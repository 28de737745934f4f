"""PRADA for siblings: all calibrators on one scale, nine ways in one step.

Fitted one against "real" at a time, as published, scores of siblings are neither taught to differ nor comparable. Here
every image is a negative of all generators but its own. Our addition to Damm et al. (2026).
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.tracer.deciding.prada import PradaCalibrator


class JointPrada(nn.Module):
    """All generators' calibrators on one scale: softmax over a zero for ``outlier`` and an affine map of each score.

    Args:
        calibrators: Name of generator → its calibrator, in the order of the classes 1, 2, ….
    """

    def __init__(self, calibrators: Mapping[str, PradaCalibrator]) -> None:
        super().__init__()
        self.names = tuple(calibrators)
        self.calibrators = nn.ModuleDict(calibrators)
        self.log_gain = nn.Parameter(torch.zeros(len(calibrators)))
        self.offset = nn.Parameter(torch.zeros(len(calibrators)))

    def forward(self, lp: Mapping[str, Tensor], noise: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Logits [B, 1 + M], the first the outlier's zero, from each generator's [B, L_m, 2].

        Raises:
            ValueError: If a generator's log-probabilities are absent.
        """
        if absent := [name for name in self.names if name not in lp]:
            raise ValueError(f"no log-probabilities for {', '.join(absent)}; fit a joint calibration without them")
        raw = torch.stack([self.calibrators[name](lp[name], noise, generator) for name in self.names], 1)
        scores = raw * self.log_gain.exp() + self.offset
        return torch.cat([torch.zeros_like(scores[:, :1]), scores], 1)


def fit_joint(
    joint: JointPrada,
    lp: Mapping[str, Tensor],
    classes: Tensor,
    *,
    epochs: int = 500,
    lr: float = 1e-2,
    train_calibrators: bool = True,
    noise: float = 0.1,
    seed: int = 42,
) -> list[float]:
    """Fit in place by cross-entropy balanced over classes, every image a negative of all generators but its own.

    Args:
        joint: Starts from its present weights.
        lp: Generator → [N, L_m, 2], the same N images under every generator.
        classes: int64 [N], 0 for outlier, else 1 + index into ``joint.names``.
        epochs: AdamW updates, full batch.
        lr: Of AdamW.
        train_calibrators: Also move the calibrators; otherwise the affine maps alone (``flat`` calibration of
            published weights).
        noise: As for :func:`fit`.
        seed: Of the noise.

    Returns:
        Loss before each update.

    Raises:
        ValueError: If a class number is none of the calibrators'.
    """
    M = len(joint.names)
    if not bool(((classes >= 0) & (classes <= M)).all()):
        raise ValueError(f"classes must be 0 (outlier) to {M}, got {classes.min()} … {classes.max()}")
    count = torch.bincount(classes, minlength=M + 1)
    weight = len(classes) / (count.clamp_min(1) * (count > 0).sum())
    generator = torch.Generator(classes.device).manual_seed(seed)
    trained = [joint.log_gain, joint.offset]
    if train_calibrators:
        trained += [p for p in joint.calibrators.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=lr)
    losses = []
    for _ in range(epochs):
        logits = joint(lp, noise if train_calibrators else 0.0, generator)
        loss = F.cross_entropy(logits, classes, weight=weight, reduction="none").mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def with_prior(logits: Tensor, prior: Tensor) -> Tensor:
    """Log-posterior [B, C] of class-balanced logits under other class frequencies ``prior`` [C] (sums to 1)."""
    if prior.shape != logits.shape[1:] or not bool((prior > 0).all()) or abs(float(prior.sum()) - 1) > 1e-4:
        raise ValueError(f"prior must be {logits.shape[1]} positive numbers with sum 1, got {prior.tolist()}")
    return (logits + prior.log()).log_softmax(-1)
