"""Calibrations of logits: non-decreasing functions, as plain values for JSON files and checkpoints."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.words import counted

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Affine:
    """slope · logit + offset."""

    slope: float  # above 0; one over the temperature
    offset: float  # added to the scaled logit
    share: float  # fraction of generated images that the probabilities assume

    def __call__(self, logits: NDArray[np.floating]) -> Floats:
        """[N] logits → [N] calibrated logits."""
        return self.slope * np.asarray(logits, dtype=np.float64) + self.offset

    def __str__(self) -> str:
        slope = f"{self.slope:.4f}" if self.slope >= 0.1 else f"{self.slope:.4g}"
        return f"{slope} * logit {round(self.offset, 4) + 0:+.4f}"  # + 0: no minus before a zero


@dataclass(frozen=True)
class Beta:
    """a · ln p − b · ln(1 − p) + c with p = P(generated) (Kull, Silva Filho & Flach 2017); a = b is `Affine`."""

    a: float  # from 0; one of a and b is above 0
    b: float  # from 0
    c: float  # offset
    share: float  # fraction of generated images that the probabilities assume

    def __call__(self, logits: NDArray[np.floating]) -> Floats:
        """[N] logits → [N] calibrated logits."""
        x = np.asarray(logits, dtype=np.float64)
        return self.b * np.logaddexp(0, x) - self.a * np.logaddexp(0, -x) + self.c

    def __str__(self) -> str:
        return f"{self.a:.4f} * ln p - {self.b:.4f} * ln(1 - p) {self.c:+.4f}"


@dataclass(frozen=True)
class Isotonic:
    """Steps joined by straight lines in P(generated): equal within a step, so images may come to have equal scores."""

    x: tuple[float, ...]  # [K] logits, increasing
    p: tuple[float, ...]  # [K] probabilities, non-decreasing, between 0 and 1
    share: float  # fraction of generated images that the probabilities assume

    def __call__(self, logits: NDArray[np.floating]) -> Floats:
        """[N] logits → [N] calibrated logits."""
        p = np.interp(np.asarray(logits, dtype=np.float64), self.x, self.p)
        return np.asarray(np.log(p) - np.log1p(-p))

    def __str__(self) -> str:
        levels = counted(len(set(self.p)), "level")
        return f"a step function of the logit with {levels} from {self.p[0]:.4f} to {self.p[-1]:.4f}"


Calibration = Affine | Beta | Isotonic


def as_plain(calibration: Calibration) -> dict[str, Any]:
    """The calibration in plain containers."""
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(calibration).items()}
    return {"form": type(calibration).__name__.lower(), **values}


def from_plain(content: Mapping[str, Any]) -> Calibration:
    """The calibration that `as_plain` described.

    Raises:
        ValueError: it describes no non-decreasing function.
        KeyError: an entry is missing.
    """
    share = float(content["share"])
    match content.get("form", "affine"):  # absent in files of earlier versions
        case "affine":
            slope, offset = float(content["slope"]), float(content["offset"])
            found: Calibration = Affine(slope, offset, share)
            rises = slope > 0
        case "beta":
            a, b, c = (float(content[name]) for name in "abc")
            found = Beta(a, b, c, share)
            rises = min(a, b) >= 0 and a + b > 0
        case "isotonic":
            x, p = (tuple(float(value) for value in content[name]) for name in ("x", "p"))
            found = Isotonic(x, p, share)
            inside = min(p, default=0.0) > 0 and max(p, default=1.0) < 1
            rises = len(x) == len(p) and inside and bool((np.diff(x) > 0).all() and (np.diff(p) >= 0).all())
        case form:
            raise ValueError(f"a calibration of the form {form!r} is unknown")
    numbers = [value for one in asdict(found).values() for value in (one if isinstance(one, tuple) else (one,))]
    if not rises or not np.isfinite(numbers).all() or not 0 < share < 1:
        raise ValueError(f"{found} with a share of {share} is not a calibration")
    return found
