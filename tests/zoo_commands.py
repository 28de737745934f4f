"""The command line for detectors of the collection: a tiny backbone from a file, the sample corpus, few steps."""

import csv
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

import lightning_main

QUIET = "trainer=cpu trainer.enable_progress_bar=false trainer.enable_model_summary=false trainer.max_epochs=1"


def backbone(folder: Path, name: str = "test_vit") -> Path:
    """A file with random weights of a tiny backbone of timm."""
    file = folder / f"{name}.pth"
    if not file.exists():
        torch.manual_seed(0)
        torch.save(timm.create_model(name, num_classes=0).state_dict(), file)
    return file


def run(*words: str) -> None:
    """A command that must succeed."""
    assert lightning_main.main([*QUIET.split(), *(part for word in words for part in word.split())]) == 0


def twins(folder: Path, count: int = 6, size: int = 40) -> Path:
    """The same images as real and as generated."""
    rng = np.random.default_rng(5)
    for k in range(count):
        pixels = rng.integers(0, 256, (size + k % 2, size, 3), np.uint8)
        for kind in ("0_real", "1_fake"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels // (k + 1)).save(folder / kind / f"{k}.png")
    return folder


def predicted(folder: Path, name: str, *words: str) -> dict[str, float]:
    """Logits by id of ``task=predict`` with the best checkpoint of an experiment."""
    ckpt = folder / f"experiments_data/{name}/window_0/checkpoints/best.ckpt"
    run("task=predict", f"ckpt={ckpt}", f"experiment_id={name}_scored", *words)
    with (folder / f"experiments_data/{name}_scored/predictions.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    return {row["id"]: float(row["logit"]) for row in rows}


def area_of_twins(folder: Path, name: str) -> float:
    """AUROC of a checkpoint on `twins`; exactly one half for every function of the pixels."""
    data = twins(folder / "twins")
    scores = predicted(folder, name, f"datamodule=folder datamodule.path={data} datamodule.batch_size=5")
    assert len(set(scores.values())) > 1
    return float(roc_auc_score(["1_fake" in key for key in scores], list(scores.values())))
