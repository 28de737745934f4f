"""Decoded images that are kept while the same rows are evaluated again and again, as by deliveries."""

from collections.abc import Callable
from threading import Lock

from torch import Tensor

Noted = tuple[Tensor, tuple[str, ...]]  # A decoded image, and notes of damaged metadata that was ignored
MOST = 2**28  # Bytes of pixels that are kept: over a thousand images of 256x256


class DecodedCache:
    """The first images that were decoded, as many as fit.

    Rows come in the same order every time, so keeping the latest instead would find none of a large set.

    Args:
        most: bytes of pixels.
    """

    def __init__(self, most: int = MOST) -> None:
        self._free = most
        self._images: dict[int, Noted] = {}
        self._lock = Lock()

    def decoded(self, row: int, decode: Callable[[], Noted]) -> Noted:
        """The image of a row in memory of its own, which the caller may change."""
        found = self._images.get(row)
        if found is not None:
            return found[0].clone(), found[1]
        image, notes = decode()
        with self._lock:
            fits = row not in self._images and image.nbytes <= self._free
            self._free -= image.nbytes if fits else 0
        if fits:
            self._images[row] = image.clone(), notes
        return image, notes
