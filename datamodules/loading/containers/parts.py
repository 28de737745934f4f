"""An image file taken apart: what decides its pixels, and what only speaks of them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

SHOWN = 6
"""Kinds of remarks named for one image; the rest are counted."""


@dataclass(frozen=True)
class Parts:
    r"""One file.

    Attributes:
        data: the same image with nothing in the file but what its pixels need.
        exif: payloads that claim to be EXIF, the most trusted first, with or without their ``Exif\0\0``.
        xmp: the XMP packet that was found, b"" where there is none.
        notes: what was passed over because it is damaged, in words.
    """

    data: bytes
    exif: tuple[bytes, ...] = ()
    xmp: bytes = b""
    notes: tuple[str, ...] = ()


Split = Callable[[bytes], Parts]


def remarks(found: Iterable[str]) -> tuple[str, ...]:
    """Each remark once, with how often it was made; a file of a million bad chunks makes a short list."""
    counts = Counter(found)
    told = [text if count == 1 else f"{text} ({count} times)" for text, count in list(counts.items())[:SHOWN]]
    return (*told, f"{len(counts) - SHOWN} more") if len(counts) > SHOWN else tuple(told)


def printable(name: bytes) -> str:
    """A name found in a file, safe to print."""
    return ascii(name.decode("latin-1"))[1:-1]
