#!/bin/sh
# h5py 3.16.0 (built with HDF5 2.0, which has a bfloat16 type of its own) and ml_dtypes 0.6.0.
#
# Guess, written first: h5py refuses bfloat16 with a TypeError, or stores it.
# Seen: a dataset of dtype bfloat16 is made without a word as opaque bytes ("|V2"), and float32 numbers written into it
# are stored as zeros, also without a word. Features kept to save half the space are lost.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check h5py==3.16.0 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import io
import sys
from importlib.metadata import version

import h5py
import ml_dtypes
import numpy as np

print(*(f"{name} {version(name)}" for name in ("h5py", "ml_dtypes", "numpy")), "HDF5", h5py.version.hdf5_version)
numbers = np.array([1.0, -2.0, 0.5], dtype=np.float32)
print("NumPy alone:", np.array(numbers, dtype=ml_dtypes.bfloat16))
with h5py.File(io.BytesIO(), "w") as file:
    kept = file.create_dataset("features", shape=3, dtype=ml_dtypes.bfloat16)
    kept[:] = numbers
    back = kept[:]
    print("given:", numbers, "read back:", back.view(ml_dtypes.bfloat16), "dtype:", back.dtype)
print("expected: the numbers, all of which bfloat16 holds exactly, or an error")
sys.exit(not (back.dtype.kind == "V" and not back.view(np.uint16).any()))
PY
