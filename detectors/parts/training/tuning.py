"""Learning-rate range test and batch-size search before training; both restore the detector's state.

Both train for a few steps with a trainer of their own on the same device, so that callbacks, loggers and counters of
the actual training are not affected.
"""

import math
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as L
import torch
from pytorch_lightning.utilities.memory import garbage_collection_cuda, is_oom_error

from contracts.errors import ConfigError
from detectors.base import Detector

LOWEST, HIGHEST = 1e-7, 1.0
SMOOTHING = 0.98
DIVERGED = 4.0  # The range test stops if the smoothed loss exceeds the best one by this factor

FEWEST_STEPS = 8
"""Smallest number of optimiser steps per epoch: the largest batch that fits in memory may leave too few."""

MEMORY_SHARE = 0.8
"""Fraction of the free main memory that a search on the CPU may use; a process that needs more may be killed."""


def tune(
    trainer: L.Trainer,
    detector: Detector,
    datamodule: Any,
    lr: bool = False,
    batch_size: bool = False,
    steps: int = 100,
) -> dict[str, float | int]:
    """Find and set the batch size, then the learning rate, which depends on it.

    Args:
        trainer: the trainer that will be used; device, precision, accumulation and clipping are copied from it.
        detector: the detector; its learning rate is set, and its weights are restored.
        datamodule: the data module; its ``batch_size`` is set.
        lr: find the learning rate.
        batch_size: find the batch size.
        steps: steps of the range test.

    Returns:
        The values found, as ``batch_size`` and ``lr``.

    Raises:
        ConfigError: several devices, or no learning rate can be found or set.
    """
    if trainer.world_size > 1:
        raise ConfigError(
            f"tune on {trainer.world_size} devices",
            "Tune with trainer.devices=1, then give the values found on the command line.",
        )
    found: dict[str, float | int] = {}
    with _unchanged(detector):
        if batch_size:
            found["batch_size"] = datamodule.batch_size = find_batch_size(trainer, detector, datamodule)
    with _unchanged(detector):
        if lr:
            found["lr"] = find_learning_rate(trainer, detector, datamodule, steps)
    if lr:
        detector.learning_rate = found["lr"]
    return found


def find_learning_rate(trainer: L.Trainer, detector: Detector, datamodule: Any, steps: int = 100) -> float:
    """The rate at which the loss falls fastest while the rate grows exponentially (Smith, arXiv 1506.01186).

    Raises:
        ConfigError: too few losses are finite.
    """
    _ = detector.learning_rate  # rejects an optimiser without a rate before the test
    ramp = _Ramp(steps)
    _trial(trainer, detector, datamodule, steps, [ramp])
    return steepest(ramp.rates, ramp.losses)


def steepest(rates: Sequence[float], losses: Sequence[float], skip: int = 10) -> float:
    """The learning rate at the steepest descent of the smoothed losses over the logarithm of the rate.

    Args:
        rates: rate of each step, increasing.
        losses: loss of each step.
        skip: number of first steps to omit, in which the moving average has not settled.

    Raises:
        ConfigError: fewer than three finite losses remain.
    """
    pairs = [(r, x) for r, x in zip(rates, smoothed(losses), strict=True) if math.isfinite(x)][skip:]
    if len(pairs) < 3:
        raise ConfigError(
            f"tune.lr=true: {len(pairs)} usable losses of {len(losses)} steps", "Set detector.optimizer.lr yourself."
        )
    x = torch.tensor([math.log(rate) for rate, _ in pairs], dtype=torch.float64)
    slope = torch.gradient(torch.tensor([loss for _, loss in pairs], dtype=torch.float64), spacing=(x,))[0]
    return pairs[int(slope[:-1].argmin())][0]


def smoothed(losses: Sequence[float]) -> Iterator[float]:
    """Exponential moving averages, with bias correction."""
    average = 0.0
    for step, loss in enumerate(losses, start=1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        yield average / (1 - SMOOTHING**step)


def find_batch_size(trainer: L.Trainer, detector: Detector, datamodule: Any, first: int = 2) -> int:
    """The largest power of two that fits in memory and leaves `FEWEST_STEPS` steps per epoch.

    Args:
        trainer: the trainer that will be used.
        detector: is trained for a few steps at each size.
        datamodule: the data module; its ``batch_size`` is varied and restored.
        first: the smallest batch size tried.
    """
    before = datamodule.batch_size
    on_cpu = trainer.strategy.root_device.type == "cpu"
    free, start = _free_memory(), _peak_memory()
    best, size = first, first
    try:
        while True:
            datamodule.batch_size = size
            batches = _trial(trainer, detector, datamodule, steps=3)
            if batches < FEWEST_STEPS and size > first:
                return best
            best, size = size, 2 * size
            if batches < 2 * FEWEST_STEPS or (on_cpu and 2 * (_peak_memory() - start) > MEMORY_SHARE * free):
                return best
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not is_oom_error(error):
            raise
        garbage_collection_cuda()
        return best
    finally:
        datamodule.batch_size = before


def _peak_memory() -> int:
    """Peak memory of this process in bytes; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class _Ramp(L.Callback):
    """Sets the rate before each optimiser step and records the loss after it."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.rates: list[float] = []
        self.losses: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        rate = LOWEST * (HIGHEST / LOWEST) ** (trainer.global_step / max(1, self.steps - 1))
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def on_train_batch_end(self, trainer: L.Trainer, _module: L.LightningModule, outputs: Any, *_: Any) -> None:
        self.rates.append(float(trainer.optimizers[0].param_groups[0]["lr"]))
        self.losses.append(float(outputs["loss"]))
        averages = list(smoothed(self.losses))
        if not math.isfinite(averages[-1]) or (len(averages) > 10 and averages[-1] > DIVERGED * min(averages)):
            trainer.should_stop = True


def _trial(
    trainer: L.Trainer, detector: Detector, datamodule: Any, steps: int, callbacks: Sequence[L.Callback] = ()
) -> int:
    """Train for a few steps; return the number of batches of an epoch."""
    device = trainer.strategy.root_device
    small = L.Trainer(
        accelerator=device.type,
        devices=1 if device.index is None else [device.index],
        precision=trainer.precision,
        max_steps=steps,
        max_epochs=-1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        accumulate_grad_batches=trainer.accumulate_grad_batches,
        gradient_clip_val=trainer.gradient_clip_val,
        gradient_clip_algorithm=trainer.gradient_clip_algorithm,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    small.fit(detector, datamodule=datamodule)
    return int(small.num_training_batches)


@contextmanager
def _unchanged(detector: Detector) -> Iterator[None]:
    """Restore weights, scheduler, gradients and random state at the end."""
    state = {key: value.detach().to("cpu", copy=True) for key, value in detector.state_dict().items()}
    scheduler, detector.make_scheduler = detector.make_scheduler, None
    with torch.random.fork_rng():
        try:
            yield
        finally:
            detector.make_scheduler = scheduler
            detector.load_state_dict(state)
            detector.zero_grad(set_to_none=True)
