"""One stage of a benchmark: what is trained on, and what the choice of checkpoint may look at."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
"""Rows of a manifest, in the order in which they are to be seen (evaluation) or drawn from (training)."""


@dataclass(frozen=True)
class Stage:
    """A step of a protocol: one for a plain split, nine for AI-GenBench's sliding windows.

    Attributes:
        index: position; the stage's results live in ``window_<index>``.
        name: for tables and loggers.
        train: rows trained on.
        validate: rows that checkpoints and thresholds are chosen on; never test images.
        copies: looks at each training image in one epoch, where a protocol makes several fixed variants of it.
    """

    index: int
    name: str
    train: Rows
    validate: Rows
    copies: int = 1
