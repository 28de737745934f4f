#!/bin/sh
# timm has weights of Apple's DFN2B-CLIP ViT-B/16 under a name that is built with GELU. open_clip's record of the same
# weights says that they were trained with QuickGELU, as those of L/14 and H/14, for which timm's records say so, too.
# Guess before looking: all of timm's DFN records carry the note "natively QuickGELU".
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q timm==1.0.31 open_clip_torch==3.3.0
"$folder/venv/bin/python" - <<'PYTHON'
import open_clip
import timm

print("timm", timm.__version__, "open_clip", open_clip.__version__)
name = "vit_base_patch16_clip_224.dfn2b"
notes = timm.get_pretrained_cfg(name).to_dict().get("notes")
other = timm.get_pretrained_cfg("vit_large_patch14_clip_224.dfn2b").to_dict().get("notes")
asked = open_clip.get_pretrained_cfg("ViT-B-16", "dfn2b").get("quick_gelu")
variants = timm.list_models("vit_base_patch16_clip_quickgelu_224.dfn2b", pretrained=True)
print("expected: open_clip True; timm notes 'natively QuickGELU' for B/16 as for L/14")
print("seen: open_clip", asked, "; timm notes of B/16", notes, "; of L/14", other, "; QuickGELU variants of B/16", variants)
assert asked and not notes and other and not variants, "changed"
PYTHON
