"""Which subjects there are, and one of them measured."""

import importlib
import pkgutil

import bench
from bench.machine import machine
from bench.table import Section

INFRASTRUCTURE = {"__main__", "machine", "subjects", "table", "timing"}
"""Files of the package that are no subjects; a subject's helpers begin with an underscore."""


def subjects() -> list[str]:
    """Names of all subjects."""
    names = (module.name for module in pkgutil.iter_modules(bench.__path__))
    return sorted(name for name in names if name not in INFRASTRUCTURE and not name.startswith("_"))


def measured(name: str) -> Section:
    """Measure one subject; its title is the first line of its docstring."""
    module = importlib.import_module(f"bench.{name}")
    described = machine()
    title = (module.__doc__ or name).strip().splitlines()[0].rstrip(".")
    return Section(title, described, module.measure())
