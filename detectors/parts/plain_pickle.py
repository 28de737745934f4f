"""Plain data stored with the weights of a published checkpoint: NumPy numbers, argument lists, paths.

Training scripts store their options and best scores in the same file. torch rejects those classes with
``weights_only=True``; here each is replaced by a class that only holds the values, so that no unpickling code of NumPy
or another library runs on an untrusted file.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

KINDS = "biufcSU"  # NumPy's kinds that hold only values: Booleans, numbers, text


class Attributes:
    """Replaces ``argparse.Namespace`` and ``types.SimpleNamespace``: values by name, in ``vars()``."""


class DType:
    """Replaces ``numpy.dtype``, for numbers and text."""

    def __init__(self, code: str, *_: Any) -> None:
        self.code = str(code)
        self.order = ""

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ("<", ">") else ""

    def values(self, raw: bytes) -> NDArray[Any]:
        """Interpret bytes as an array [n] of this type.

        Raises:
            ValueError: the type is not a number or text, or has fields.
        """
        dtype = np.dtype(self.order + self.code)
        if dtype.kind not in KINDS or dtype.itemsize == 0:
            raise ValueError(f"NumPy data of kind {self.code!r}")
        return np.frombuffer(raw, dtype)


class Array:
    """Replaces ``numpy.ndarray``; ``values`` is a copy of the array in the file."""

    values: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.values = dtype.values(raw).reshape(shape, order="F" if fortran else "C").copy()


def scalar(dtype: DType, raw: bytes) -> Any:
    """Return one number or text as a Python object."""
    return dtype.values(raw)[0].item()


def array(*_: Any) -> Array:
    """Return an array whose state follows in the pickle."""
    return Array()


def path(*parts: str) -> str:
    """Return a path as text."""
    return "/".join(map(str, parts))


REPLACEMENTS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (Attributes, "argparse.Namespace"),
    (Attributes, "types.SimpleNamespace"),
    (DType, "numpy.dtype"),
    (Array, "numpy.ndarray"),
    *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((path, f"{module}.{kind}") for module in ("pathlib", "pathlib._local") for kind in ("PosixPath", "WindowsPath")),
]
"""The replacement of each class or function in a pickle, with its name there."""


def plain_globals() -> AbstractContextManager[None]:
    """Return a context in which ``torch.load(..., weights_only=True)`` accepts the replaced classes."""
    return torch.serialization.safe_globals(REPLACEMENTS)
