#!/bin/sh
# torchmetrics 1.9.0, torch 2.15.0: the AUROC of logits in float32.
#
# Guess, written first: AUROC depends on the order of scores alone, so that six logits which separate the classes give
# 1.0 in float32 as in float64, and for a detector whose "generated" is negative as well.
# Seen: scores outside [0, 1] go through a sigmoid first. In float32 it is exactly 1 from about 17 on: the logits tie and
# the AUROC is 0.5. The same ranking with the sign and the classes turned round lies at the other end, where float32 has
# values down to 1e-45, and gives 1.0. Average precision loses the order in the same way. Detectors of this field have
# such logits (log-likelihood ratios in nats, linear probes on wide features).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import torch
from torchmetrics.functional.classification import binary_auroc, binary_average_precision

print(", ".join(f"{name} {version(name)}" for name in ("torchmetrics", "torch", "numpy")))
logits = torch.tensor([18.0, 20.0, 25.0, 30.0, 40.0, 50.0])
labels = torch.tensor([0, 0, 0, 1, 1, 1])
seen = {
    "AUROC, float32": binary_auroc(logits, labels),
    "AUROC, float64": binary_auroc(logits.double(), labels),
    "AUROC, float32, sign and classes turned": binary_auroc(-logits, 1 - labels),
    "average precision, float32": binary_average_precision(logits, labels),
    "average precision, float64": binary_average_precision(logits.double(), labels),
}
for name, value in seen.items():
    print(f"{name}: {value:.3f}")
print("expected: 1.000 everywhere, since every logit of the positive class is larger")
values = [round(float(value), 3) for value in seen.values()]
sys.exit(0 if values == [0.5, 1.0, 1.0, 0.5, 1.0] else "the result has changed")
PY
