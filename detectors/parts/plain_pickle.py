"""Plain data beside the weights of a published checkpoint: NumPy's numbers, argument lists, paths.

Training scripts store their options and best scores in the same file. torch refuses those classes with
``weights_only=True``; here each gets a stand-in that holds the same values, so that neither NumPy's nor any other
class's own unpickling is run on bytes of a stranger.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

KINDS = "biufcSU"
"""NumPy's kinds that hold values alone: truth values, numbers, text."""


class Attributes:
    """``argparse.Namespace`` and ``types.SimpleNamespace``: values by name, in ``vars()``."""


class DType:
    """``numpy.dtype`` of numbers or text.

    Raises:
        ValueError: another kind, or one with fields.
    """

    def __init__(self, code: str, *_: Any) -> None:
        self.code = str(code)
        self.order = ""

    def __setstate__(self, state: Any) -> None:
        self.order = state[1] if state[1] in ("<", ">") else ""

    def values(self, raw: bytes) -> NDArray[Any]:
        """The numbers or texts of some bytes, as an array [n]."""
        dtype = np.dtype(self.order + self.code)
        if dtype.kind not in KINDS or dtype.itemsize == 0:
            raise ValueError(f"NumPy data of kind {self.code!r}")
        return np.frombuffer(raw, dtype)


class Array:
    """``numpy.ndarray``: ``values`` once it is read.

    Attributes:
        values: a copy of what the file holds, as an array.
    """

    values: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.values = dtype.values(raw).reshape(shape, order="F" if fortran else "C").copy()


def scalar(dtype: DType, raw: bytes) -> Any:
    """One number or text, as Python has it."""
    return dtype.values(raw)[0].item()


def array(*_: Any) -> Array:
    """An array whose state follows in the pickle."""
    return Array()


def path(*parts: str) -> str:
    """A path, as text."""
    return "/".join(map(str, parts))


STAND_INS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (Attributes, "argparse.Namespace"),
    (Attributes, "types.SimpleNamespace"),
    (DType, "numpy.dtype"),
    (Array, "numpy.ndarray"),
    *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *((path, f"{module}.{kind}") for module in ("pathlib", "pathlib._local") for kind in ("PosixPath", "WindowsPath")),
]
"""What takes the place of each class or function in a pickle, by the name it has there."""


def plain_globals() -> AbstractContextManager[None]:
    """A context in which ``torch.load(..., weights_only=True)`` reads the stand-ins, too."""
    return torch.serialization.safe_globals(STAND_INS)
