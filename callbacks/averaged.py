"""Lightning's averaged weights (`EMAWeightAveraging` and its base class) in checkpoints that hold weights only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytorch_lightning as L


def averaging_first(callbacks: Iterable[L.Callback]) -> list[L.Callback]:
    """The callbacks, averaging ones first: a checkpoint saved after a step must contain the new average."""
    from pytorch_lightning.callbacks import WeightAveraging  # slow

    return sorted(callbacks, key=lambda callback: not isinstance(callback, WeightAveraging))


@contextmanager
def averaged(trainer: L.Trainer) -> Iterator[None]:
    """Replaces the trained weights with the averaged ones, which were validated, inside the context.

    Lightning lets callbacks change resumable checkpoints only; others would contain the trained weights.
    """
    from pytorch_lightning.callbacks import WeightAveraging  # slow

    found = [one for one in trainer.callbacks if isinstance(one, WeightAveraging)]  # type: ignore[attr-defined]
    for callback in found:
        callback.on_validation_epoch_start(trainer, trainer.lightning_module)
    try:
        yield
    finally:
        for callback in found:
            callback.on_validation_epoch_end(trainer, trainer.lightning_module)
