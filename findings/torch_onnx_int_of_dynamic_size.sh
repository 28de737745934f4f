#!/bin/sh
# A size computed by int(width * 0.75) from a dynamic width, exported to ONNX by torch 2.15.0.
#
# Guess, written first: the size follows the width, or the export fails because the width is specialised. Seen: the
# graph's width is free, but the size is the constant of the example, so that other widths give other values than the
# module, without an error or a warning. The program of torch.export (strict=False, which is the default) has a guard
# that refuses such widths; the ONNX file made from it has none. With strict=True, or as width * 3 // 4, the size follows.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==${TORCH:-2.15.0} onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
import onnxruntime
import torch

print(*(f"{name} {version(name)}" for name in ("torch", "onnx", "onnxscript", "onnxruntime")))


class Quarters(torch.nn.Module):
    def forward(self, x):
        kept = int(x.shape[-1] * 0.75)
        return torch.arange(x.shape[-1]) * kept // x.shape[-1]


free = {"x": {1: torch.export.Dim.DYNAMIC}}
made = torch.onnx.export(Quarters(), (torch.zeros(1, 100),), dynamo=True, input_names=["x"], dynamic_shapes=free)
session = onnxruntime.InferenceSession(made.model_proto.SerializeToString())
print("input of the graph:", session.get_inputs()[0].shape)
expected, seen = {}, {}
for width in (100, 103, 200):
    x = torch.zeros(1, width)
    expected[width] = int(Quarters()(x).max())
    seen[width] = int(session.run(None, {"x": x.numpy()})[0].max())
print("expected (the module):", expected)
print("seen (ONNX Runtime): ", seen)
program = torch.export.export(Quarters(), (torch.zeros(1, 100),), dynamic_shapes=free)
try:
    program.module()(torch.zeros(1, 200))
    guard = None
except Exception as error:  # the guard's type is private
    guard = str(error).splitlines()[0]
print("torch.export's own program:", guard)
same = expected == {100: 74, 103: 76, 200: 149} and seen == dict.fromkeys(expected, 74) and guard
sys.exit(0 if same else "this has changed")
PY
