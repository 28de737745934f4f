"""Calibration on the scores of real images, the only ones that a zero-shot detector may use."""

import math
from collections.abc import Sequence

import numpy as np

TAIL = 95.0
MEDIAN_PROBABILITY = 0.05


def calibrate(scores: Sequence[float]) -> tuple[float, float] | None:
    """Centre and spread of a logit ``(score - centre) / spread`` that is 0 where 5 % of real images lie above.

    Args:
        scores: scores of real images; higher means more likely generated.

    Returns:
        Centre and spread, such that P(generated) is 0.5 at the 95th percentile and 0.05 at the median; None if the
        scores do not determine a spread (fewer than two, or nearly all equal).
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.size < 2:
        return None
    median, tail = np.percentile(values, [50, TAIL])
    spread = (tail - median) / math.log((1 - MEDIAN_PROBABILITY) / MEDIAN_PROBABILITY)
    return (float(tail), float(spread)) if spread > 1e-9 else None
