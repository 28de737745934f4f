"""One stage of a benchmark: the rows for training and for validation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]  # Rows of a manifest, in the order of evaluation; training samples them in random order


@dataclass(frozen=True)
class Stage:
    """A step of a protocol: one for a plain split, nine for AI-GenBench's sliding windows."""

    index: int  # number of the stage; its results are in ``window_<index>``
    name: str  # name in tables and loggers
    train: Rows  # training rows
    validate: Rows  # rows on which checkpoints and thresholds are chosen; never test images
    copies: int = 1  # number of fixed variants of each training image per epoch
