#!/bin/sh
# Whether Pillow 13.0.0 writes the same AVIF picture on one core and on several: option max_threads of Image.save.
#
# Guess, written first: the number of threads changes how long the encoder takes, and no byte of the file.
# Seen: with one thread the file differs from the one with two or more, and so do the decoded pixels, by 10 levels and
# more. max_threads is the machine's number of CPUs where nothing is given, so the same call in a container of one core
# and on a laptop makes two different sets of images. (With two, four or eight threads the files are equal.)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==2.4.6 pillow==13.0.0
"$folder/venv/bin/python" - <<'PY'
import io
import sys

import numpy as np
import PIL
from PIL import Image, features

print("pillow", PIL.__version__, "libavif", features.version("avif"))
rows, columns = np.mgrid[:600, :800]
wave = 127 + 60 * np.sin(columns / 9) + 60 * np.cos(rows / 14 + columns / 40)
picture = Image.fromarray(np.stack([wave, wave[::-1], (rows + columns) % 256], -1).astype(np.uint8))


def written(threads):
    file = io.BytesIO()
    picture.save(file, "AVIF", quality=60, max_threads=threads)
    return file.getvalue(), np.asarray(Image.open(file).convert("RGB")).astype(int)


one = written(1)
differs = []
for threads in (1, 2, 4, 8):
    data, pixels = written(threads)
    most = int(abs(pixels - one[1]).max())
    print(f"{threads} threads: {len(data)} bytes, at most {most} of 255 levels from the picture of one thread")
    differs.append(most)
print("expected: four equal files")
sys.exit(not (differs[0] == 0 and len(set(differs[1:])) == 1 and differs[1] >= 5))
PY
