"""Base classes that are Lightning's if Lightning is imported, and plain otherwise.

Importing Lightning takes longer than scoring a few images, and only a trainer needs it. An object created before the
import is plain; `as_lightning` converts it into one that a trainer accepts.
"""

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import nn

T = TypeVar("T")


class _Late:
    """Creates objects that are also of Lightning's class of the same name, if Lightning is imported."""

    lightning: str

    def __new__(cls, *_: Any, **__: Any) -> Self:
        kind: type[Self] = _lightning_class(cls) if "pytorch_lightning" in sys.modules else cls
        return super().__new__(kind)

    def __reduce__(self) -> tuple[Any, ...]:  # by the class's name, pickle would always find the plain class
        cls = type(self).__dict__.get("plain", type(self))
        return _remade, (cls, cls is not type(self)), self.__getstate__()


if TYPE_CHECKING:
    from pytorch_lightning import Callback as _Callback
    from pytorch_lightning import LightningDataModule as _DataModule
    from pytorch_lightning import LightningModule as _Module
else:
    _Callback = _DataModule = _Late

    class _Module(_Late, nn.Module):
        """A plain module."""


class Callback(_Callback):
    """`pytorch_lightning.Callback`."""

    lightning = "Callback"


class LightningDataModule(_DataModule):
    """`pytorch_lightning.LightningDataModule`."""

    lightning = "LightningDataModule"
    trainer: Any = None


class LightningModule(_Module):
    """`pytorch_lightning.LightningModule`."""

    lightning = "LightningModule"
    _trainer: Any = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The device of the weights; any other attribute of Lightning's converts the object with `as_lightning`."""
            if name == "device":
                return next((one.device for one in (*self.parameters(), *self.buffers())), torch.device("cpu"))
            try:
                return super().__getattr__(name)
            except AttributeError:
                kind = _lightning_class(type(self)) if not name.startswith("_") else type(self)
                if type(self) is kind or not hasattr(kind, name):
                    raise
            device = self.device
            return getattr(as_lightning(self).to(device), name)


def as_lightning(thing: T) -> T:
    """The same object with its attributes, converted in place to Lightning's class."""
    kind: Any = _lightning_class(type(thing))
    if type(thing) is not kind:
        kept = dict(vars(thing))
        thing.__class__ = kind
        kind.__bases__[1].__init__(thing)
        vars(thing).update(kept)
    return thing


def _lightning_class(cls: type) -> Any:
    return _made(cls)


@cache
def _made(cls: Any) -> Any:
    """A class with Lightning's as a second base; its name, which checkpoints may contain, is unchanged."""
    import pytorch_lightning  # slow

    base = getattr(pytorch_lightning, getattr(cls, "lightning", ""), cls)
    if issubclass(cls, base):
        return cls
    names = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(cls.__name__, (cls, base), names | {"plain": cls})


def _remade(cls: type, lightning: bool) -> Any:
    return object.__new__(_lightning_class(cls) if lightning else cls)
