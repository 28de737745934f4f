"""Description of the machine on which figures are measured."""

import datetime
import platform
from importlib.metadata import version
from pathlib import Path

from datamodules.loading.parallel import cores

PACKAGES = ("torch", "torchvision", "pillow", "h5py", "pyarrow", "numpy")


def machine() -> dict[str, str]:
    """Date, processor, cores, load average and versions."""
    with Path("/proc/loadavg").open() as file:
        load = file.read().split()[0]
    described = {
        "date": datetime.date.today().isoformat(),
        "cpu": f"{cores()} cores of {_processor()}",
        "load average before": load,
        "Python": platform.python_version(),
    }
    return described | {name: version(name) for name in PACKAGES}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
