"""PixelProof in Python.

>>> from pixelproof import load
>>> load("best.ckpt").score(["photo.jpg", "folder/"])[["id", "score", "generated"]]  # doctest: +SKIP

Each name is imported when it is first used, since torch takes seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.evaluation import evaluate
    from benchmarks.predictions import read_predictions as read_dump
    from benchmarks.review import review
    from conf.compose import compose
    from tasks.models.model import Model, load

__all__ = ["Model", "compose", "evaluate", "load", "read_dump", "review"]

_PLACES = {
    "Model": ("tasks.models.model", "Model"),
    "compose": ("conf.compose", "compose"),
    "evaluate": ("benchmarks.evaluation", "evaluate"),
    "load": ("tasks.models.model", "load"),
    "read_dump": ("benchmarks.predictions", "read_predictions"),
    "review": ("benchmarks.review", "review"),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'pixelproof' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
