#!/bin/sh
# Two records of the same released CLIP weights (Apple's DFN) in timm 1.0.31 and open_clip 3.3.0.
#
# Guess, written first: where open_clip's record says quick_gelu or resize_mode=squash, timm's record of the same weights
# says so too (its note "natively QuickGELU", from which it makes the quickgelu variant; crop_mode=squash).
# Seen: ViT-B-16 dfn2b has no such note, so no vit_base_patch16_clip_quickgelu_224.dfn2b exists, and the plain name builds
# GELU: other features than open_clip's. Both dfn5b towers are squashed to a square by open_clip, and cropped by timm.
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
for (table, tag), name in {
    ("_VITB16", "dfn2b"): "vit_base_patch16_clip_224.dfn2b",
    ("_VITL14", "dfn2b"): "vit_large_patch14_clip_224.dfn2b",
    ("_VITH14", "dfn5b"): "vit_huge_patch14_clip_224.dfn5b",
    ("_VITH14_378", "dfn5b"): "vit_huge_patch14_clip_378.dfn5b",
}.items():
    theirs, ours = open_clip[table, tag], timm[name]
    noted = any("quickgelu" in note.lower() for note in ours.get("notes", ()))
    seen[name] = (
        theirs.get("quick_gelu", False) == noted,
        (theirs.get("resize_mode") == "squash") == (ours.get("crop_mode") == "squash"),
    )
    print(f"{name}: open_clip {theirs.get('quick_gelu', False)=} {theirs.get('resize_mode')=}; "
          f"timm QuickGELU noted: {noted}, {ours.get('crop_mode')=}")
print("expected: both agree everywhere")
print("seen (activation agrees, resizing agrees):", seen)
as_found = {
    "vit_base_patch16_clip_224.dfn2b": (False, True),
    "vit_large_patch14_clip_224.dfn2b": (True, True),
    "vit_huge_patch14_clip_224.dfn5b": (True, False),
    "vit_huge_patch14_clip_378.dfn5b": (True, False),
}
sys.exit(0 if seen == as_found else "this has changed")
PY
