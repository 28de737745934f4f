#!/bin/sh
# One JPEG XL file made without loss from a JPEG, read by two packages: pillow-jxl-plugin 1.3.8, imagecodecs 2026.3.6.
#
# Guess, written first: both have libjxl inside and return the same pixels, within one level of the JPEG's.
# Seen: the plugin returns exactly the pixels of the JPEG; imagecodecs' jpegxl_decode is several levels off in a part of
# the pixels of a file with 4:2:0 chroma, although its jpegxl_decode_jpeg gives back the JPEG's bytes. A detector that
# reads traces of compression sees another image, depending on the package that opened the file.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 pillow-jxl-plugin==1.3.8 \
  imagecodecs==2026.3.6
"$folder/venv/bin/python" - <<'PY'
import io
import sys
from importlib.metadata import version

import imagecodecs
import numpy as np
import pillow_jxl  # noqa: F401  (registers the format)
from PIL import Image

print(*(f"{name} {version(name)}" for name in ("pillow", "pillow-jxl-plugin", "imagecodecs")))
rows, columns = np.mgrid[:256, :256]
channels = [columns * 1.3 + 20 * np.sin(rows / 5), rows, (rows + columns) // 2]
picture = Image.fromarray((np.stack(channels, -1) % 256).astype(np.uint8))
jpeg = io.BytesIO()
picture.save(jpeg, "JPEG", quality=85, subsampling="4:2:0")
jxl = imagecodecs.jpegxl_encode_jpeg(jpeg.getvalue())
print("the JPEG's bytes come back:", imagecodecs.jpegxl_decode_jpeg(jxl) == jpeg.getvalue())
pixels = np.asarray(Image.open(jpeg).convert("RGB")).astype(int)
most = {}
for name, decoded in {
    "pillow-jxl-plugin": np.asarray(Image.open(io.BytesIO(jxl)).convert("RGB")),
    "imagecodecs": imagecodecs.jpegxl_decode(jxl),
}.items():
    far = abs(decoded.astype(int) - pixels)
    most[name] = int(far.max())
    print(f"{name}: at most {far.max()} levels from the JPEG, {far.mean():.3f} on average")
print("expected: equal figures, at most 1")
sys.exit(not (most["pillow-jxl-plugin"] == 0 and most["imagecodecs"] > 2))
PY
