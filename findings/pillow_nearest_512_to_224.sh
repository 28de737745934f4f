#!/bin/sh
# Pillow 13.0.0 and torch 2.15.0: nearest-neighbour resizing from 512 to 224 pixels, the commonest step of this field.
#
# Guess, written first: Pillow's NEAREST and torch's "nearest-exact" (which the documentation of torch says matches
# Pillow) take the same source pixels, floor((i + 1/2) * 512 / 224).
# Seen: torch takes these; Pillow takes the pixel before for 25 of the 224 columns, which are 21 % of the pixels of a
# square image. (i + 1/2) * 16 / 7 is a whole number for every seventh i, and rounding errors grow along the line.
# From 512 to 384 it is 74 columns, from 256 to 224 again 25; an exact half loses none.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 torch==2.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import torch
from PIL import Image

print(", ".join(f"{name} {version(name)}" for name in ("pillow", "torch", "numpy")))


def columns(size, to):
    """Columns of a ramp that Pillow and torch take, and those of the rule, as indices [to]."""
    ramp = np.arange(size, dtype=np.float32)
    pillow = np.asarray(Image.fromarray(ramp[None]).resize((to, 1), Image.Resampling.NEAREST))[0]
    torch_ = torch.nn.functional.interpolate(torch.from_numpy(ramp)[None, None, None], (1, to), mode="nearest-exact")
    return pillow, torch_[0, 0, 0].numpy(), (2 * np.arange(to) + 1) * size // (2 * to)


seen = {}
for size, to in ((512, 224), (512, 256), (512, 384), (256, 224)):
    pillow, torch_, rule = columns(size, to)
    seen[size, to] = (int((pillow != rule).sum()), int((torch_ != rule).sum()))
    print(f"{size} to {to}: columns off the rule: Pillow {seen[size, to][0]}, torch {seen[size, to][1]}")
rng = np.random.default_rng(0)
image = rng.integers(0, 256, (512, 512), dtype=np.uint8)
small = np.asarray(Image.fromarray(image).resize((224, 224), Image.Resampling.NEAREST))
rule = columns(512, 224)[2]
print(f"pixels of a random 512 x 512 image that differ from the rule: {(small != image[rule][:, rule]).mean():.1%}")
expected = {(512, 224): (25, 0), (512, 256): (0, 0), (512, 384): (74, 0), (256, 224): (25, 0)}
sys.exit(0 if seen == expected else "the result has changed")
PY
