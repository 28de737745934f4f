"""A training step of a detector, as ``task=fit`` makes it, and the rows of its comparison with a plain one."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from bench.parts.allocator import plainly
from bench.parts.table import Row, rate
from bench.parts.timing import interleaved, pick
from contracts.batch import Batch
from detectors.base import Detector

Step = Callable[[], float]  # One step; returns the loss before it


def step(loss: Callable[[], Tensor], optimizer: Optimizer, bf16: bool = False) -> Step:
    """Forward, backward and the optimiser's step; ``bf16`` as with ``trainer.precision=bf16-mixed``."""

    def made() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(value.detach())

    return made


def ours(detector: Detector, state: Mapping[str, Tensor], batch: Batch, bf16: bool = False) -> Step:
    """The detector's step from these weights, including the normalisation of the batch."""
    detector.net.load_state_dict(state)
    detector.train().configure_model()
    return step(lambda: detector.loss(batch), detector.configure_optimizers(), bf16)


def compared(
    subject: str, work: str, count: int, ways: Mapping[str, Step], targets: Mapping[str, float | None], tolerance: float
) -> list[Row]:
    """Images/s of ways to train against ``ways["plain"]``, and the largest difference of the losses of equal steps.

    Args:
        subject: name of the subject.
        work: description of the input.
        count: number of images in it.
        ways: functions that make a step, all from equal weights.
        targets: target ratio of each way, or None.
        tolerance: largest accepted difference of a loss in float32.

    Raises:
        AssertionError: a float32 way's losses differ by more than ``tolerance``.
    """
    losses: dict[str, list[float]] = {name: [] for name in ways}

    def kept(name: str, way: Step) -> Step:
        def timed() -> float:
            losses[name].append(way())
            return losses[name][-1]

        return timed

    timed = {name: kept(name, plainly(way) if name == "plain" else way) for name, way in ways.items()}
    timings = interleaved(timed, pick(1, 4))
    rows = []
    for name, target in targets.items():
        if name in ways:
            error = max(abs(a - b) for a, b in zip(losses["plain"], losses[name], strict=True))
            if "bf16" not in name and error > tolerance:
                raise AssertionError(f"losses of {name} differ by {error:.1e}, more than {tolerance}")
            note = f"losses of {len(losses[name])} steps differ by at most {error:.0e}"
            rows.append(rate(subject, f"{work}, {name}", timings["plain"], timings[name], count, target, note))
    return rows
