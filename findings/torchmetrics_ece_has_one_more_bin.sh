#!/bin/sh
# torchmetrics 1.9.0: the expected calibration error of scores that are exactly 1.
#
# Guess, written first: `n_bins=10` are ten bins of equal width and the last one is [0.9, 1], as in the paper that the
# documentation cites (Naeini et al. 2015), so that 0.95 and 1 share a bin.
# Seen: a score of exactly 1 has an eleventh bin of its own. A detector in float32 or with rounded scores has many of
# them, and two errors that would cancel within the last bin count in full.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torchmetrics==1.9.0 torch==2.15.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import torch
from torchmetrics.functional.classification import binary_calibration_error

print(", ".join(f"{name} {version(name)}" for name in ("torchmetrics", "torch", "numpy")))
labels = torch.tensor([0, 1, 1, 1])
results = []
for top in (0.999999, 1.0):
    scores = torch.tensor([top, 0.93, 0.93, 0.93])
    expected = abs(scores.mean() - labels.float().mean())
    results.append((float(binary_calibration_error(scores, labels, n_bins=10)), float(expected)))
    print(f"scores {top}, 0.93, 0.93, 0.93: {results[-1][0]:.4f}, by hand with the one bin [0.9, 1]: {results[-1][1]:.4f}")
same, other = (abs(seen - expected) for seen, expected in results)
sys.exit(0 if same < 1e-4 and abs(other - 0.105) < 1e-4 else "the result has changed")
PY
