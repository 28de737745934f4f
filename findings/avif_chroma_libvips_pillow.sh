#!/bin/sh
# The same AVIF files, with 4:4:4 and 4:2:0 chroma, decoded by Pillow 13.0.0 (libavif) and pyvips 3.2.0 (libheif).
#
# Guess, written first: AV1 defines every decoded sample, so that two decoders differ by rounding, at most 2 levels.
# Seen: at 4:4:4 they differ by one level; at 4:2:0, the default of most encoders, by dozens of levels at edges of colour
# and by more than one level on average, since each library brings the halved chroma back to full size by its own rule.
# A data set that was decoded by one and is scored through the other has a trace in all of its AVIF images.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 pillow==13.0.0 pyvips==3.2.0 pyvips-binary==8.18.7
"$folder/venv/bin/python" - <<'PY'
import io
import sys
from importlib.metadata import version

import numpy as np
import pyvips
from PIL import Image, features

print(*(f"{name} {version(name)}" for name in ("pillow", "pyvips", "pyvips-binary")), "libavif", features.version("avif"))
rows, columns = np.mgrid[:255, :257]
channels = np.stack([columns * 1.3 + 20 * np.sin(rows / 5), rows, (rows + columns) // 2], -1) % 256
picture = Image.fromarray((channels + np.random.default_rng(0).normal(0, 8, channels.shape)).clip(0, 255).astype(np.uint8))
most = {}
for chroma in ("4:4:4", "4:2:0"):
    file = io.BytesIO()
    picture.save(file, "AVIF", quality=80, subsampling=chroma, max_threads=1)
    by_pillow = np.asarray(Image.open(file).convert("RGB")).astype(int)
    far = abs(pyvips.Image.new_from_buffer(file.getvalue(), "").numpy()[..., :3].astype(int) - by_pillow)
    most[chroma] = int(far.max())
    print(f"{chroma}: at most {far.max()} levels apart, {far.mean():.2f} on average")
print("expected: at most 2 levels for both")
sys.exit(not (most["4:4:4"] <= 2 and most["4:2:0"] > 10))
PY
