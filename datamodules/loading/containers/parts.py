"""An image file split into the data that determine its pixels, and its metadata."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

SHOWN = 6  # Kinds of remarks listed for one image; the rest are counted


@dataclass(frozen=True)
class Parts:
    r"""The parts of one file."""

    data: bytes  # the same image file with only the data needed for its pixels
    exif: tuple[bytes, ...] = ()
    r"""Payloads that claim to be EXIF, the most trusted first, with or without their ``Exif\0\0``."""
    xmp: bytes = b""  # the XMP packet, b"" if there is none
    notes: tuple[str, ...] = ()  # damaged metadata that was ignored, in words


Split = Callable[[bytes], Parts]


def remarks(found: Iterable[str]) -> tuple[str, ...]:
    """Each remark once, with its count, so that even a file of a million bad chunks gives a short list."""
    counts = Counter(found)
    counted = [text if count == 1 else f"{text} ({count} times)" for text, count in list(counts.items())[:SHOWN]]
    return (*counted, f"{len(counts) - SHOWN} more") if len(counts) > SHOWN else tuple(counted)


def printable(name: bytes) -> str:
    """A name from a file, safe to print."""
    return ascii(name.decode("latin-1"))[1:-1]
