"""What commands may not import: what makes them start slowly. Times are measured by ``python -m bench startup``."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_predictions import draw

import lightning_main
from benchmarks.predictions import write_predictions
from conf.compose import compose
from tasks.experiment.run import Run

CODE = """
import json, sys
import lightning_main
for words in json.loads(sys.argv[1]):
    code = lightning_main.main(words)
    print("\\nSEEN", json.dumps([code, sorted({name for name in sys.modules if name.count(".") < 2})]))
"""
SLOWEST = {
    "pytorch_lightning", "lightning_fabric", "torchmetrics", "torchvision", "torch._dynamo", "torch._inductor",
    "torch.distributed.tensor", "scipy", "sklearn", "matplotlib", "sympy", "timm", "open_clip", "cv2", "numba", "wandb",
    "pyarrow.dataset", "tensorboard",
}  # fmt: skip
"""Packages and modules that take from a third of a second to several seconds."""
NOT_BY = {
    "--help": SLOWEST | {"torch", "numpy", "pandas", "pyarrow", "h5py", "PIL", "rich"},
    "typo": SLOWEST | {"torch", "numpy", "pandas", "pyarrow", "h5py", "PIL", "rich"},
    "review": SLOWEST | {"torch", "pandas"},
    "doctor": SLOWEST,
    "predict": SLOWEST,
}
"""By command, in the order in which one process runs them."""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Modules present after each command."""
    folder = tmp_path_factory.mktemp("startup")
    with h5py.File(folder / "data.h5", "w") as file:
        file["test/image"] = np.zeros((12, 8, 8, 3), np.uint8)
    write_predictions(folder / "dump.npz", draw(images=12, where=[f"{folder}/data.h5::test"] * 12, row=np.arange(12)))
    words = ["detector.eval_view.resize=null", "trainer=cpu"]
    torch.save(Run(compose(["task=predict", *words])).detector().net.state_dict(), folder / "npr.pth")
    Image.linear_gradient("L").convert("RGB").save(folder / "image.jpg")
    commands = {
        "--help": ["--help"],
        "typo": ["trainer.max_epoch=1"],
        "review": ["task=review", "review.inputs=[dump.npz]", "review.out=review"],
        "doctor": ["task=doctor", "experiment=demo", "datamodule.path=image.jpg"],
        "predict": [
            "task=predict", "ckpt=npr.pth", "datamodule=folder", "datamodule.path=image.jpg", "predict.out=out", *words
        ],
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(list(commands.values()))],
        capture_output=True, text=True, check=False, cwd=folder,
        env={"PYTHONPATH": str(Path(lightning_main.__file__).parent), "PATH": "", "HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "npr.pth: read" in done.stderr  # Lightning's messages come without it
    seen = [json.loads(line.removeprefix("SEEN ")) for line in done.stdout.splitlines() if line.startswith("SEEN ")]
    assert [code for code, _ in seen] == [0, 2, 0, 0, 0], done.stdout + done.stderr
    return {name: set(modules) for name, (_, modules) in zip(commands, seen, strict=True)}


@pytest.mark.parametrize("command", NOT_BY)
def test_slow_packages_stay_out(imported: dict[str, set[str]], command: str) -> None:
    assert NOT_BY[command] & imported[command] == set()
