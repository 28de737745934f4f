#!/bin/sh
# Hugging Face datasets 5.2.0: a new column computed with `map` from images that are stored as JPEG bytes.
#
# Guess, written first: `map` returns only the new column, so that the image column keeps its bytes.
# Seen: every image that the function looked at (here at its width alone) is encoded again: a JPEG of quality 95
# becomes one of Pillow's default quality 75, and one whose EXIF has an orientation, even "upright", becomes a PNG.
# `filter` with the same access leaves the bytes alone. Who adds a column to the photographs of a data set, but not to
# its generated images, gives the classes different traces of compression.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
HF_HOME="$folder/home" "$folder/venv/bin/python" - <<'PY'
import io
import sys
from importlib.metadata import version

import numpy as np
from datasets import Dataset, Image, disable_progress_bars
from PIL import Image as Pillow

disable_progress_bars()
print(*(f"{name} {version(name)}" for name in ("datasets", "pillow")))
rows, columns = np.mgrid[:64, :96]
picture = Pillow.fromarray(np.stack([columns, rows * 2, (rows + columns) % 64 * 3], -1).astype(np.uint8))


def jpeg(exif: Pillow.Exif) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=95, exif=exif)
    return out.getvalue()


upright = Pillow.Exif()
upright[0x0112] = 1
given = [jpeg(Pillow.Exif()), jpeg(upright)]
images = Dataset.from_dict({"image": [{"bytes": data, "path": None} for data in given]}).cast_column("image", Image())


def stored(dataset: Dataset) -> list[bytes]:
    return [row["bytes"] for row in dataset.cast_column("image", Image(decode=False))["image"]]


def described(data: bytes) -> str:
    opened = Pillow.open(io.BytesIO(data))
    tables = f", first steps of luminance {opened.quantization[0][:3]}" if opened.format == "JPEG" else ""
    return f"{opened.format}{tables}"


filtered = stored(images.filter(lambda row: row["image"].width > 0))
mapped = stored(images.map(lambda row: {"width": row["image"].width}))
default = io.BytesIO()
Pillow.open(io.BytesIO(given[0])).convert("RGB").save(default, "JPEG")
for before, same, after in zip(given, filtered, mapped, strict=True):
    print(f"before: {described(before)}; after filter: equal bytes {same == before}; after map: {described(after)}")
print("expected: the bytes as given after both")
plain, tagged = (Pillow.open(io.BytesIO(data)) for data in mapped)
again = plain.format == "JPEG" and plain.quantization == Pillow.open(default).quantization
sys.exit(not (filtered == given and again and tagged.format == "PNG"))
PY
