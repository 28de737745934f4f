#!/bin/sh
# A detector whose weights have become NaN (a diverged training), made faster for inference on a CPU by torch 2.15.0.
#
# Guess, written first: every way keeps NaN, as eager torch and torch.compile do, so that a diverged detector can be told
# by its scores. Seen: with inductor's freezing, and with torch.jit.optimize_for_inference, convolution and ReLU become
# one operation of oneDNN, whose ReLU gives 0 for NaN: the scores are finite, and nothing warns.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==${TORCH:-2.15.0} numpy
"$folder/venv/bin/python" -W ignore - <<'PY'
import platform
import sys

import torch
import torch._inductor.config
from torch import nn

print("torch", torch.__version__, platform.machine(), torch.backends.cpu.get_cpu_capability())
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1))
net.eval()
with torch.no_grad():
    net[0].weight[0] = float("nan")
    images = torch.rand(2, 3, 32, 32)
    scores = {"eager": net(images), "torch.compile": torch.compile(net)(images)}
    torch._inductor.config.freezing = True
    torch._dynamo.reset()
    scores["torch.compile, freezing"] = torch.compile(net)(images)
    scores["optimize_for_inference"] = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.script(net)))(images)
for name, score in scores.items():
    print(f"{name}: {score.flatten().tolist()}")
print("expected: NaN four times")
finite = {name: bool(score.isfinite().all()) for name, score in scores.items()}
print("seen: finite scores by", *(name for name, one in finite.items() if one))
sys.exit(0 if list(finite.values()) == [False, False, True, True] else "this has changed")
PY
