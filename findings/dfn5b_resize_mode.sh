#!/bin/sh
# How an image is brought to a square before Apple's DFN5B towers: open_clip 3.3.0 and timm 1.0.31 have the same weights.
#
# Guess, written first: where open_clip's record says resize_mode=squash, timm's says crop_mode=squash, as its records of
# SigLIP and PE towers do. Seen: timm's two dfn5b records have no crop mode, so timm.data resizes the shorter side and
# crops the centre: features of images that are not square differ.
#
# Both packages import torch, which is several GB; their records are literals and are read from the installed source.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps timm==1.0.31 open_clip_torch==3.3.0
"$folder/venv/bin/python" - <<'PY'
import ast
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path

site = Path(sysconfig.get_paths()["purelib"])
print("timm", version("timm"), "open_clip_torch", version("open_clip_torch"))


def keywords(call):
    return {k.arg: ast.literal_eval(k.value) for k in call.keywords if isinstance(k.value, (ast.Constant, ast.Tuple))}


timm = {}
for node in ast.walk(ast.parse((site / "timm/models/vision_transformer.py").read_text())):
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Call):
                timm[key.value] = keywords(value)
open_clip = {}
for node in ast.parse((site / "open_clip/pretrained.py").read_text()).body:
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        for tag in node.value.keywords:
            if isinstance(tag.value, ast.Call):
                open_clip[node.targets[0].id, tag.arg] = keywords(tag.value)

seen = {}
for table, name in {
    "_VITH14": "vit_huge_patch14_clip_224.dfn5b",
    "_VITH14_378": "vit_huge_patch14_clip_378.dfn5b",
}.items():
    seen[name] = (open_clip[table, "dfn5b"].get("resize_mode"), timm[name].get("crop_mode"))
print("expected: both squash")
print("seen (open_clip, timm):", seen)
others = sum(record.get("crop_mode") == "squash" for record in timm.values())
print("records of timm with crop_mode=squash:", others)
sys.exit(0 if set(seen.values()) == {("squash", None)} and others else "this has changed")
PY
