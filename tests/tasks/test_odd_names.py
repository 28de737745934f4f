"""Names that are not UTF-8, through every verb that writes names, in locales that write UTF-8 and that cannot."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import synthetic
import torch

import lightning_main
from benchmarks.predictions import read_predictions
from contracts.view import View
from detectors.npr.detector import NPR
from lightning_main import main

PROGRAM = Path(lightning_main.__file__).resolve()
NAMES = (b"caf\xe9.png", "café.png".encode(), b"lit\\xe9.png", b'a,b;c".png', b"\xff.png")
TEXTS = {"caf\\xe9.png", "café.png", "lit\\x5cxe9.png", 'a,b;c".png', "\\xff.png"}
QUIET = ["trainer=cpu", "trainer.enable_progress_bar=false", "detector=npr", "ckpt=npr.ckpt"]


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder, with ``npr.ckpt`` and a tree of oddly named images, one of each class damaged."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for kind in ("0_real", "1_fake"):
        for name in NAMES:
            place = Path(os.fsdecode(b"tree/\xe9t/" + kind.encode() + b"/" + name))
            place.parent.mkdir(parents=True, exist_ok=True)
            image = synthetic.encoded(synthetic.picture(rng, 24, kind == "1_fake"))
            place.write_bytes(image if name != NAMES[-1] else image[:50])
    torch.manual_seed(0)
    torch.save({"state_dict": NPR(View(), View()).state_dict()}, "npr.ckpt")


def test_every_verb_takes_them(capsys: pytest.CaptureFixture[str]) -> None:
    data = ["datamodule=image_tree", "datamodule.path=tree"]
    assert main(["task=test", "benchmark=plain", *data, *QUIET, "experiment_id=e"]) == 0
    dump = read_predictions("experiments_data/e/window_0/predictions_test_all.npz")
    assert len(dump) == 8
    assert {name.rpartition("/")[2] for name in dump.fused_ids} == TEXTS - {"\\xff.png"}
    assert set(dump.source) == {"\\xe9t"}
    with Path("experiments_data/e/failures.csv").open(encoding="utf-8", newline="") as stream:
        assert [row["where"].rpartition("/")[2] for row in csv.DictReader(stream)] == ["\\xff.png"] * 2
    assert main(["task=review", "experiment_id=e", "review.out=page"]) == 0
    assert "does not exist" not in Path("page/index.html").read_text(encoding="utf-8")
    assert main(["task=audit", *data, "experiment_id=a"]) == 0
    assert json.loads(Path("experiments_data/a/audit.json").read_text(encoding="utf-8"))["images"] == 8
    prepare = ["task=prepare", "prepare.workers=1", "prepare.max_failures=0.5"]
    assert main([*prepare, *data, "experiment_id=h"]) == 0
    with h5py.File("experiments_data/h/data.h5") as file:
        assert {name.rpartition("/")[2] for name in file["test/id"].asstr()[:]} == TEXTS - {"\\xff.png"}
    assert main(["task=explain", *data, *QUIET, "experiment_id=e"]) == 0
    assert main(["task=export_tree", *data, "experiment_id=x"]) == 0
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("word", [b"tree/\xe9t", b"tree/\xe9t/0_real/caf\xe9.png", b"tree/\xe9t/0_real/caf\xe9*"])
def test_they_can_be_typed(word: bytes) -> None:
    words = ["task=predict", "datamodule=folder", f"datamodule.path={os.fsdecode(word)}", *QUIET]
    assert main([*words, "experiment_id=p"]) == 0
    with Path("experiments_data/p/predictions.csv").open(encoding="utf-8", newline="") as stream:
        assert "caf\\xe9.png" in {row["id"].rpartition("/")[2] for row in csv.DictReader(stream)}


def test_a_locale_without_utf_8_gives_the_same_ids() -> None:
    words = ["task=predict", "datamodule=folder", "datamodule.path=tree", *QUIET]
    ascii_only = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ascii_only.pop("PYTHONIOENCODING", None)
    done = subprocess.run(
        [sys.executable, PROGRAM, *words, "experiment_id=c"], env=ascii_only, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert main([*words, "experiment_id=u"]) == 0
    first, second = (Path(f"experiments_data/{name}/predictions.csv").read_bytes() for name in "cu")
    assert first == second
