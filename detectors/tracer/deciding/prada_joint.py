"""PRADA for siblings: all calibrators on one scale, with all classes decided in one step.

If each generator is fitted only against "real", as published, the scores of siblings are neither trained to differ nor
comparable. Here each image is a negative for all generators except its own. This is our addition to Damm et al. (2026).
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
            ValueError: If the log-probabilities of a generator are absent.
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
    noise: float = 0.1,
    seed: int = 42,
) -> list[float]:
    """Fit in place by cross-entropy balanced over classes; an image is a negative for all generators except its own.

    Args:
        joint: Starts from its present weights.
        lp: Generator → [N, L_m, 2], the same N images under every generator.
        classes: int64 [N], 0 for outlier, else 1 + index into ``joint.names``.
        epochs: AdamW updates, full batch.
        lr: Learning rate of AdamW.
        noise: As for :func:`fit`.
        seed: Random seed of the noise.

    Returns:
        Loss before each update.

    Raises:
        ValueError: If a class number has no calibrator.
    """
    M = len(joint.names)
    if not bool(((classes >= 0) & (classes <= M)).all()):
        raise ValueError(f"classes must be 0 (outlier) to {M}, got {classes.min()} … {classes.max()}")
    count = torch.bincount(classes, minlength=M + 1)
    weight = len(classes) / (count.clamp_min(1) * (count > 0).sum())
    generator = torch.Generator(classes.device).manual_seed(seed)
    calibrators = [p for p in joint.calibrators.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW([joint.log_gain, joint.offset, *calibrators], lr=lr)
    losses = []
    for _ in range(epochs):
        logits = joint(lp, noise, generator)
        loss = F.cross_entropy(logits, classes, weight=weight, reduction="none").mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses
