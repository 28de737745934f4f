"""Memory for batches; a worker takes again what the main process no longer uses.

Fresh shared memory costs both processes a page fault for every few kilobytes of each batch, and the worker the clearing
of all of them. So a worker keeps some pieces of it. The last byte of each says whether the main process still has a
tensor in it.
"""

import math
import os
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from contracts.batch import Batch

MOST = 8  # Pieces that a worker keeps; more are in use only where somebody holds on to batches


class BatchMemory:
    """Memory of one process for one batch after another."""

    def __init__(self) -> None:
        self._pieces: list[Tensor] = []
        self._latest: Tensor | None = None

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor, in other memory than the one before."""
        if get_worker_info() is None:
            return torch.empty(shape, dtype=dtype)
        size = math.prod(shape) * dtype.itemsize
        free = [piece for piece in self._pieces if piece is not self._latest and not piece[-1]]
        self._latest = next((piece for piece in free if len(piece) > size), None)
        if self._latest is None:
            self._latest = _shared(size + -size % 8 + 1)
            small = set(map(id, free))
            self._pieces = [*(piece for piece in self._pieces if id(piece) not in small), self._latest][-MOST:]
        return self._latest[:size].view(dtype).view(shape)

    def sent(self, batch: Batch) -> Any:
        """What a worker sends, which the main process receives as a batch."""
        if get_worker_info() is None:
            return batch
        place = batch.images.data_ptr()
        piece = next((piece for piece in self._pieces if piece.data_ptr() == place), None)
        if piece is not None:
            piece[-1] = 1
        return _Sent(batch, piece)


class _Sent:
    """A batch on its way to the main process: the images by a handle of their memory, the few numbers by value."""

    def __init__(self, batch: Batch, piece: Tensor | None) -> None:
        self._batch, self._piece = batch, piece

    def __reduce__(self) -> tuple[Any, ...]:
        images, *others = self._batch
        numbers = [each.numpy() for each in others]
        if self._piece is None:
            return _received, (images, None, numbers)
        return _received, (self._piece, (images.dtype, images.size(), images.stride()), numbers)


def _received(images: Tensor, layout: Any, numbers: list[Any]) -> Batch:
    if layout is not None:
        dtype, size, stride = layout
        images = _borrowed(images).view(dtype).as_strided(size, stride)
    return Batch(images, *map(torch.from_numpy, numbers))


def _borrowed(piece: Tensor) -> Tensor:
    """A tensor in a worker's memory, which is given back when neither the tensor nor any view of it is left."""
    array = piece[:-1].numpy()
    weakref.finalize(array, _give_back, piece, os.getpid()).atexit = False
    return torch.from_numpy(array)


def _give_back(piece: Tensor, process: int) -> None:
    if os.getpid() == process:  # a forked process has copies of its parent's objects, not of its batches
        piece[-1] = 0


def _shared(size: int) -> Tensor:
    """Memory that processes share, zeros at first."""
    empty = torch.empty(0, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]  # as PyTorch's own collation does
    return empty.set_(storage).resize_(size)
