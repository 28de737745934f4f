"""Base classes that are Lightning's once Lightning is imported, and plain before.

Importing Lightning takes longer than scoring a few images, and only a trainer needs it. An object made before the
import is plain; `as_lightning` turns it into one that a trainer takes.
"""

import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

import torch
from torch import nn

T = TypeVar("T")


class _Late:
    """Makes objects of Lightning's class of the same name as well, if Lightning is imported."""

    lightning: str

    def __new__(cls, *_: Any, **__: Any) -> Self:
        kind: type[Self] = _lightning_class(cls) if "pytorch_lightning" in sys.modules else cls
        return super().__new__(kind)

    def __reduce__(self) -> tuple[Any, ...]:  # by the name of the class, pickle would always find the plain one
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
            """The device of the weights, which a plain module lacks; for all else of Lightning's it becomes one."""
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
    """The same object, which is Lightning's from now on and keeps all its attributes."""
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
    """A class with Lightning's as a second base; its name, keys of checkpoints included, stays."""
    import pytorch_lightning  # slow

    base = getattr(pytorch_lightning, getattr(cls, "lightning", ""), cls)
    if issubclass(cls, base):
        return cls
    names = {name: getattr(cls, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(cls.__name__, (cls, base), names | {"plain": cls})


def _remade(cls: type, lightning: bool) -> Any:
    return object.__new__(_lightning_class(cls) if lightning else cls)
