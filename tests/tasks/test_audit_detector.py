"""``task=audit ckpt=FILE`` by the real command line."""

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.predictions import read_predictions
from datamodules.hdf5 import Hdf5DataModule
from lightning_main import main
from tasks.auditing.bias import audited_rows

CKPT = "ckpt=experiments_data/e/window_0/checkpoints/best.ckpt"
WORDS = ["task=audit", CKPT, "datamodule=hdf5", "datamodule.path=drawn.h5", "trainer=cpu"]


def test_what_a_detector_relies_on(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, "audit.deliveries=[jpeg-30,resize-0.5]", "audit.out=a"]) == 0
    printed = capsys.readouterr().out
    assert "AUROC with one class or both delivered" in printed
    with (trained / "a/bias.csv").open() as file:
        rows = {(row["delivery"], row["figure"]): float(row["value"]) for row in csv.DictReader(file)}
    assert {name for name, _ in rows} == {"jpeg-30", "resize-0.5"}
    dump = read_predictions("experiments_data/e/window_0/predictions_test_all.npz")
    pairs = dump.fused_logits[dump.fused_labels == 1][:, None] - dump.fused_logits[dump.fused_labels == 0]
    auroc = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert rows["jpeg-30", "auroc_neither"] == pytest.approx(auroc)
    assert "# What best.ckpt relies on" in (trained / "a/bias.md").read_text()


@pytest.mark.parametrize(
    ("word", "code", "told"),
    [
        ("audit.images=0", 2, "audit.images=0"),
        ("audit.deliveries=[]", 2, "audit.deliveries is empty"),
        ("audit.deliveries=[jpg-50]", 2, "'jpg-50' is not a delivery"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_a_wrong_option_is_refused(word: str, code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, word]) == code
    assert told in capsys.readouterr().err


def test_images_that_it_was_trained_on_are_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = trained / "experiments_data/e/splits.parquet"
    table = pq.read_table(record)
    role = pa.array(["train" if name == "test" else name for name in table["role"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("role"), "role", role), record)
    assert main([*WORDS, "audit.deliveries=[jpeg-30]"]) == 1
    assert "18 of 18 images to audit are images that" in capsys.readouterr().err


@pytest.mark.usefixtures("trained")
def test_test_images_are_sampled_by_id() -> None:
    manifest = Hdf5DataModule("drawn.h5").manifest()
    few = audited_rows(manifest, 3, seed=0)
    assert sorted(manifest.labels[few].tolist()) == [0, 0, 0, 1, 1, 1]
    assert set(manifest.column("split")[few]) == {"test"}
    assert audited_rows(manifest, 3, seed=0).tolist() == few.tolist()
    assert few.tolist() != audited_rows(manifest, 3, seed=1).tolist()
    turned = manifest.take(np.arange(len(manifest))[::-1])
    again = turned.column("id")[audited_rows(turned, 3, seed=0)]
    assert set(again) == set(manifest.column("id")[few])
    assert len(audited_rows(manifest, None, seed=0)) == 18
