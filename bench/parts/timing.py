"""Several ways of doing the same work, timed in turn within one run."""

import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast, get_args

T = TypeVar("T")
Effort = Literal["quick", "normal", "full"]
EFFORT = "PIXELPROOF_BENCH_EFFORT"
"""Environment variable that passes ``--quick`` or ``--full`` to the subjects' processes."""


def effort() -> Effort:
    """The effort of this run: "quick" only checks that everything runs, "full" adds measurements that take minutes."""
    value = os.environ.get(EFFORT, "normal")
    if value not in get_args(Effort):
        raise ValueError(f"{EFFORT}={value!r}: choose one of {', '.join(get_args(Effort))}")
    return cast(Effort, value)


def pick(quick: T, normal: T, full: T | None = None) -> T:
    """The amount for the current effort; a full run uses the normal one unless given its own."""
    return {"quick": quick, "normal": normal, "full": normal if full is None else full}[effort()]


@dataclass
class Timing:
    """Times of the repetitions of one way."""

    seconds: list[float] = field(default_factory=list)  # wall-clock seconds of each repetition
    cpu: list[float] = field(default_factory=list)
    """CPU seconds of each, in this process and in the children it waited for."""

    @property
    def best(self) -> float:
        """Least wall-clock seconds: those of the repetition that was disturbed least."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """Median of the wall-clock seconds."""
        return statistics.median(self.seconds)

    @property
    def best_cpu(self) -> float:
        """Least CPU seconds, which other processes disturb less."""
        return min(self.cpu)


def interleaved(
    ways: Mapping[str, Callable[[], object]], repetitions: int | None = None, after: Callable[[], object] = lambda: None
) -> dict[str, Timing]:
    """Times each way once per round, so that anything that slows the machine slows all of them.

    Args:
        ways: functions to time; each is called once before the first round, unmeasured.
        repetitions: number of rounds; by default 2 in a quick run, otherwise 5.
        after: cleans up after each call, unmeasured.
    """
    timings = {name: Timing() for name in ways}
    for way in ways.values():
        way()
        after()
    for _ in range(repetitions or pick(2, 5)):
        for name, way in ways.items():
            cpu, started = _cpu(), time.perf_counter()
            way()
            timings[name].seconds.append(time.perf_counter() - started)
            timings[name].cpu.append(_cpu() - cpu)
            after()
    return timings


def spread(baseline: Timing, ours: Timing) -> str:
    """Ratio of the medians and of the CPU seconds, in words, for a row's note."""
    return f"medians {baseline.median / ours.median:.2f}×, CPU seconds {baseline.best_cpu / ours.best_cpu:.2f}×"


def _cpu() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
