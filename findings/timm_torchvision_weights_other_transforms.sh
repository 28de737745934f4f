#!/bin/sh
# timm 1.0.31 and torchvision 0.29.2: evaluation transforms of the same ImageNet weights, from torchvision.
#
# Guess, written first: timm's configuration of a `*.tv_in1k` or `*.tv2_in1k` model gives the size, the resize and the
# interpolation that torchvision stores with these weights; at most rounding differs.
# Seen: of 30 that have the same name in both, 13 differ. Four DenseNets and Inception are resized bicubically instead of
# bilinearly; seven second ResNets get 176 pixels instead of 224 (timm keeps 224 as `test_input_size`, which
# `resolve_data_config` uses only with `use_test_size=True`); resnext101_64x4d is resized to 256 instead of 232.
# (Inception's mean and deviation differ as well, but torchvision's network converts its own to timm's.)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check timm==1.0.31 torchvision==0.29.2 torch==2.15.0
"$folder/venv/bin/python" - <<'PY'
import math
import sys
from collections import Counter
from importlib.metadata import version

import timm
from torchvision.models import get_model_weights, list_models

print(", ".join(f"{name} {version(name)}" for name in ("timm", "torchvision", "torch")))
theirs = set(list_models())
kinds = Counter()
for name in timm.list_models(pretrained=True):
    architecture, _, tag = name.partition(".")
    if tag not in ("tv_in1k", "tv2_in1k") or architecture not in theirs:
        continue
    weights = get_model_weights(architecture)["IMAGENET1K_V2" if tag == "tv2_in1k" else "IMAGENET1K_V1"]
    stored = weights.transforms()
    ours = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    size = ours["input_size"][-1]
    in_timm = (size, math.floor(size / ours["crop_pct"]), ours["interpolation"])
    in_torchvision = (stored.crop_size[0], stored.resize_size[0], stored.interpolation.value)
    kind = "equal"
    if in_timm != in_torchvision:
        places = zip(("crop", "resize", "interpolation"), in_timm, in_torchvision, strict=True)
        other = [what for what, own, its in places if own != its]
        kind = other[0] if "interpolation" not in other else "interpolation"
        print(f"{name}: timm crops {in_timm[0]} of {in_timm[1]}, {in_timm[2]}; "
              f"torchvision crops {in_torchvision[0]} of {in_torchvision[1]}, {in_torchvision[2]}")
    kinds[kind] += 1
print("first difference:", dict(kinds))
expected = {"equal": 17, "interpolation": 5, "crop": 7, "resize": 1}
sys.exit(0 if kinds == expected else "the result has changed")
PY
