"""The list of subjects, and the measurement of one of them."""

import importlib
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bench
from bench.parts.machine import machine
from bench.parts.table import Section, load, save


def _modules() -> dict[str, str]:
    """Modules of subjects by name: all but this one, the command line, and `bench.parts`."""
    found = (one.name for one in pkgutil.walk_packages(bench.__path__, "bench.") if not one.ispkg)
    return {
        name.rpartition(".")[2]: name
        for name in found
        if name not in ("bench.__main__", "bench.subjects") and not name.startswith("bench.parts.")
    }


def subjects() -> list[str]:
    """Names of all subjects."""
    return sorted(_modules())


def measured(name: str) -> Section:
    """Measures one subject; its title is the first line of its docstring."""
    module = importlib.import_module(_modules()[name])
    described = machine()
    title = (module.__doc__ or name).strip().splitlines()[0].rstrip(".")
    return Section(title, described, module.measure())


def measured_apart(name: str) -> Section:
    """Measures one subject in a fresh interpreter, so that none inherits another's threads, memory or compiled kernels.

    It is a separate command rather than a process of multiprocessing's spawn method, which data loaders would inherit.

    Raises:
        subprocess.CalledProcessError: the subject failed; its traceback is on standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "section.json"
        command = [sys.executable, "-m", "bench.subjects", name, str(file)]
        subprocess.run(command, check=True, cwd=Path(__file__).parent.parent)  # noqa: S603 - our own interpreter
        return load(file)[name]


if __name__ == "__main__":
    save(Path(sys.argv[2]), {sys.argv[1]: measured(sys.argv[1])})
