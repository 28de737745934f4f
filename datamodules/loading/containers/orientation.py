"""Orientation from the readable EXIF and XMP of an image."""

import re
import struct
import warnings

from PIL import Image

from datamodules.loading.containers.parts import Parts
from datamodules.loading.containers.tiff import ORIENTATION, only

_IN_XMP = re.compile(rb'tiff:Orientation(="|>)([0-9])')

# Pillow skips an entry that cannot be read, and then warns of it
warnings.filterwarnings("ignore", message="(Possibly c|C)orrupt EXIF|Tag data larger|Tag offset too|Truncated File")


def orientation(parts: Parts) -> tuple[int, tuple[str, ...]]:
    """Orientation 1..8 of the first valid EXIF, else of the XMP, else 1; and the damaged metadata ignored, in words.

    Every payload is reduced to this one tag before Pillow reads it: there may be thousands, each as long as the file.
    """
    notes: tuple[str, ...] = ()
    found: object = None
    for payload in parts.exif:
        try:
            found = _in_exif(payload)
            break
        except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error) as error:
            notes = (f"EXIF cannot be read: {error}",)
    if found is None and (match := _IN_XMP.search(parts.xmp)):
        found = int(match[2])
    return (found if isinstance(found, int) and 1 <= found <= 8 else 1), notes


def _in_exif(payload: bytes) -> object:
    data = re.sub(rb"^(Exif\0\0){1,2}", b"", payload)
    if not data:
        return None
    slim = only(data, {ORIENTATION})
    if slim is None:
        raise ValueError("it has no TIFF directory")
    exif = Image.Exif()
    exif.load(slim)
    return exif.get(ORIENTATION)
