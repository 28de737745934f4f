"""Lightning's averaged weights (`EMAWeightAveraging` and its base class) in checkpoints that hold weights only."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytorch_lightning as L
from pytorch_lightning.callbacks import WeightAveraging


def averaging_first(callbacks: Iterable[L.Callback]) -> list[L.Callback]:
    """The callbacks with those that average in front: a checkpoint saved after a step must contain its average."""
    return sorted(callbacks, key=lambda callback: not isinstance(callback, WeightAveraging))


@contextmanager
def averaged(trainer: L.Trainer) -> Iterator[None]:
    """Puts the averaged weights, which were validated, in place of the trained ones for a while.

    Lightning lets callbacks change resumable checkpoints only; one of weights only would hold the trained weights.
    """
    found = [one for one in trainer.callbacks if isinstance(one, WeightAveraging)]  # type: ignore[attr-defined]
    for callback in found:
        callback.on_validation_epoch_start(trainer, trainer.lightning_module)
    try:
        yield
    finally:
        for callback in found:
            callback.on_validation_epoch_end(trainer, trainer.lightning_module)
