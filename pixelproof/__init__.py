"""PixelProof in Python.

>>> from pixelproof import load
>>> load("best.ckpt").score(["photo.jpg", "folder/"])[["id", "score", "generated"]]  # doctest: +SKIP

Each name is imported when it is first used, since importing torch takes seconds. Errors are exceptions with the
messages of the command line; all are a `PixelProofError`.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.predictions import Predictions
    from conf.compose import Composed
    from contracts.errors import CheckpointError, ConfigError, DataError, PixelProofError
    from pixelproof.commands import compose, run
    from pixelproof.dumps import evaluate, read_dump, review
    from tasks.models.model import Model, load

__all__ = [
    "CheckpointError", "Composed", "ConfigError", "DataError", "Model", "PixelProofError", "Predictions", "compose",
    "evaluate", "load", "read_dump", "review", "run",
]  # fmt: skip

_PLACES = {
    "benchmarks.predictions": ("Predictions",),
    "conf.compose": ("Composed",),
    "contracts.errors": ("CheckpointError", "ConfigError", "DataError", "PixelProofError"),
    "pixelproof.commands": ("compose", "run"),
    "pixelproof.dumps": ("evaluate", "read_dump", "review"),
    "tasks.models.model": ("Model", "load"),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}
_FORMER = {"read_predictions": ("read_dump", "0.4")}
"""Former names, with the current name of each and the version that removes the former one."""


def __getattr__(name: str) -> Any:
    if name in _FORMER:
        now, gone = _FORMER[name]
        text = f"pixelproof.{name} is now pixelproof.{now}; version {gone} removes the former name"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return __getattr__(now)
    if name not in _MODULES:
        raise AttributeError(f"module 'pixelproof' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
