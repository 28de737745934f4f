"""The cost of scoring, measured while a test or a prediction runs; ``task=leaderboard`` shows it."""

import json
import platform
import resource
import sys
import time
from pathlib import Path
from typing import Any, Self

import torch

from contracts.files import write_atomically
from detectors.base import Detector

FILE = "cost.json"  # Beside the dump in a stage's folder, or in the folder of ``task=predict``
_MAXRSS = 1 if sys.platform == "darwin" else 1024  # Bytes in a unit of ``ru_maxrss``


class Meter:
    """Measures the code inside its ``with`` block: reading, decoding and scoring images, loader processes included.

    Args:
        detector: the one that scores.
        trainer: its device and number of processes are recorded.
    """

    def __init__(self, detector: Detector, trainer: Any) -> None:
        self.detector = detector
        self.device: torch.device = trainer.strategy.root_device
        self.processes = int(trainer.world_size)

    def __enter__(self) -> Self:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self.started = time.perf_counter(), _cpu_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.started[0]
        self.cpu_seconds = _cpu_seconds() - self.started[1]

    def measured(self, images: int) -> dict[str, Any]:
        """The cost of scoring this number of images.

        ``seconds`` are wall time; ``cpu_seconds`` those of this process and its ended children, None with several
        ranks; ``memory_mb`` is the peak of this process since its start, ``gpu_memory_mb`` that of PyTorch on its GPU
        (MB: 10⁶ bytes); ``parameters`` and ``weights_mb`` are of the whole detector, frozen backbones included, and
        are absent for one that loads its models while it scores, as a tracer does.
        """
        tensors = {id(one): one for one in [*self.detector.parameters(), *self.detector.buffers()]}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS
        on_gpu = self.device.type == "cuda"
        size = {
            "parameters": sum(one.numel() for one in self.detector.parameters()),
            "weights_mb": sum(one.numel() * one.element_size() for one in tensors.values()) / 1e6,
        }
        return {
            "images": images,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds if self.processes == 1 else None,
            "memory_mb": peak / 1e6,
            "gpu_memory_mb": torch.cuda.max_memory_allocated(self.device) / 1e6 if on_gpu else None,
            **(size if tensors else {}),
            "machine": _machine(self.device, self.processes),
        }

    def write(self, folder: Path, images: int) -> None:
        """Writes `measured` as ``cost.json``."""
        write_atomically(folder / FILE, (json.dumps(self.measured(images), indent=1) + "\n").encode())


def _cpu_seconds() -> float:
    """User and system time of this process and of its ended children, such as loader processes after a test."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _machine(device: torch.device, processes: int) -> str:
    """A description of the hardware; only costs with equal descriptions are comparable."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    if device.type == "cuda":
        name = f"{torch.cuda.get_device_name(device)}, {name}"
    threads = torch.get_num_threads()
    return f"{name}, {threads} thread{'s' * (threads > 1)}" + (f", {processes} ranks" if processes > 1 else "")
