"""TIFF 6.0 and BigTIFF: reduces a directory to some tags; EXIF has the same format."""

import struct
from collections.abc import Set
from typing import NamedTuple

from datamodules.loading.containers.parts import Parts

SIGNATURES = (b"II*\0", b"MM\0*", b"II\0*", b"MM*\0", b"II+\0", b"MM\0+")
"""The third and fourth are invalid but accepted."""
ORIENTATION = 274
_XMP = 700
_BYTES = (1, 7)
_PIXELS: Set[int] = {
    *range(254, 260), *range(262, 267), 273, ORIENTATION, *range(277, 282), 284, 292, 293, 317, *range(320, 329), 332,
    334, 338, 339, 340, 341, 347, *range(512, 522), *range(529, 533), 34925, 0xBC01, 50674,
}  # fmt: skip
"""Tags that libtiff or Pillow needs to decode the first image."""


class _Directory(NamedTuple):
    """The first directory: its position, its entries by tag, and its number formats."""

    order: str
    place: int
    counts: str
    number: str
    entries: dict[int, bytes]


def _directory(data: bytes) -> _Directory | None:
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return None
    magic = struct.unpack_from(f"{order}H", data, 2)[0]
    if magic in (42, 42 << 8):  # swapped bytes are invalid but accepted
        count, number, size, place = "H", "L", 12, struct.unpack_from(f"{order}L", data, 4)[0]
    elif magic == 43 and len(data) >= 16:
        count, number, size, place = "Q", "Q", 20, struct.unpack_from(f"{order}Q", data, 8)[0]
    else:
        return None
    start = place + struct.calcsize(count)
    if start > len(data):
        return None
    end = start + struct.unpack_from(f"{order}{count}", data, place)[0] * size
    entries: dict[int, bytes] = {}
    for entry in range(start, min(end, len(data) - size + 1), size):
        entries.setdefault(struct.unpack_from(f"{order}H", data, entry)[0], data[entry : entry + size])
    return _Directory(order, place, count, number, entries)


def only(data: bytes, tags: Set[int]) -> bytes | None:
    """The file with a first directory of only these tags, each once, and without a second directory.

    Returns:
        None if the bytes have no directory.
    """
    found = _directory(data)
    if found is None:
        return None
    kept = [entry for tag, entry in found.entries.items() if tag in tags]
    fewer = (
        struct.pack(f"{found.order}{found.counts}", len(kept)) + b"".join(kept) + bytes(4 if found.number == "L" else 8)
    )
    return data[: found.place] + fewer + data[found.place + len(fewer) :]


def split(data: bytes) -> Parts:
    """Split a TIFF. If no tag gives the orientation, a valid XMP packet is kept, where Pillow finds it."""
    found = _directory(data)
    if found is None:
        return Parts(data)
    tags = _PIXELS
    if ORIENTATION not in found.entries and (xmp := found.entries.get(_XMP)):
        _, kind, length, start = struct.unpack(f"{found.order}HH{found.number}{found.number}", xmp)
        if kind in _BYTES and length > len(xmp) // 2 and start + length <= len(data):
            tags = _PIXELS | {_XMP}
    return Parts(only(data, tags) or data)
