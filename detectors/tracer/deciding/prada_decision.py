"""PRADA as a decision: calibrated jointly for siblings, or one generator at a time as published."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from detectors.tracer.deciding.decisions import Names
from detectors.tracer.deciding.evidence import Evidence, Floats
from detectors.tracer.deciding.prada import PradaCalibrator, fit, smoothed
from detectors.tracer.deciding.prada_joint import JointPrada, fit_joint
from detectors.tracer.models.sizes import OUTLIER


class Prada:
    """Calibrators of all variants.

    Args:
        joint: The calibrators; their affine maps are the identity after `fit_single`.
        losses: Loss before each update, of the joint fit (``joint``) or of each variant.
    """

    def __init__(self, joint: JointPrada, losses: dict[str, list[float]]) -> None:
        self.joint = joint.eval()
        self.losses = losses

    @classmethod
    def fit(cls, evidence: Evidence, truth: Names, *, epochs: int, seed: int) -> "Prada":
        """Fit all calibrators together; every image is a negative for all generators except its own."""
        torch.manual_seed(seed)
        joint = JointPrada({name: PradaCalibrator(evidence.lengths[name]) for name in evidence.families})
        names = [OUTLIER, *evidence.families]
        classes = torch.tensor([names.index(str(name)) for name in truth])
        losses = fit_joint(joint, _tensors(evidence), classes, epochs=epochs, seed=seed)
        return cls(joint, {"joint": losses})

    @classmethod
    def fit_single(cls, evidence: Evidence, truth: Names, *, epochs: int, seed: int) -> "Prada":
        """Fit as published: own images against outliers ("real"), one generator at a time."""
        calibrators, losses = {}, {}
        lp = _tensors(evidence)
        for name in evidence.families:
            torch.manual_seed(seed)
            rows = np.flatnonzero(np.isin(truth, [name, OUTLIER]))
            calibrators[name] = PradaCalibrator(evidence.lengths[name])
            own = torch.from_numpy(truth[rows] == name)
            losses[name] = fit(calibrators[name], lp[name][rows], smoothed(own), epochs=epochs, seed=seed).loss
        return cls(JointPrada(calibrators), losses)

    @torch.no_grad()
    def log_proba(self, evidence: Evidence) -> Floats:
        """See :class:`detectors.tracer.deciding.decisions.Decision`."""
        logits = self.joint(_tensors(evidence)).log_softmax(1).double().numpy()
        return np.concatenate([logits[:, 1:], logits[:, :1]], 1)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """See :class:`detectors.tracer.deciding.decisions.Decision`."""
        return {f"joint/{key}": value.detach().numpy() for key, value in self.joint.state_dict().items()}

    @property
    def alpha(self) -> dict[str, float]:
        """Variant → the balance α of its ratio."""
        return {name: float(self._calibrator(name).alpha.detach()) for name in self.joint.names}

    def _calibrator(self, name: str) -> PradaCalibrator:
        calibrator = self.joint.calibrators[name]
        assert isinstance(calibrator, PradaCalibrator)  # noqa: S101 - narrows ModuleDict's element type
        return calibrator

    @torch.no_grad()
    def curves(self, evidence: Evidence, points: int = 121) -> dict[str, npt.NDArray[np.float32]]:
        """For plots: per variant the grid of d, g on it, the scale weights and α.

        The grid spans the central 99 % of d on the evidence.
        """
        found: dict[str, npt.NDArray[np.float32]] = {}
        for name, lp in _tensors(evidence).items():
            calibrator = self._calibrator(name)
            d = calibrator.ratio(lp).flatten().numpy()
            grid = torch.linspace(float(np.quantile(d, 0.005)), float(np.quantile(d, 0.995)), points)
            found[f"{name}/d"] = grid.numpy()
            found[f"{name}/g"] = calibrator.token_scores(grid[:, None]).numpy()
            found[f"{name}/w"] = calibrator.w.numpy().copy()
            found[f"{name}/alpha"] = calibrator.alpha.numpy().copy()
        return found


def _tensors(evidence: Evidence) -> dict[str, Tensor]:
    return {name: torch.from_numpy(lp) for name, lp in evidence.lp.items()}
