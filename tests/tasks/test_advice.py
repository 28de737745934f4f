"""Advice about splits works when it is followed, and the doctor looks at data when asked."""

import csv
import re
from collections import Counter
from pathlib import Path

import pytest
from synthetic_trees import lay, told

from benchmarks.plain import Plain
from contracts.errors import DataError
from datamodules.folder import FolderDataModule
from datamodules.photographs import PhotographsDataModule
from datamodules.trees import TreeDataModule
from lightning_main import main


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty images of two classes and no split; the working folder."""
    lay(tmp_path, *(f"mine/{kind}/{k:02}.png" for kind in ("real", "fake") for k in range(30)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = ["datamodule=image_tree", "datamodule.path=mine", "detector=npr", "trainer=cpu", "benchmark=plain"]


def test_the_doctor_counts_images_and_finds_that_none_is_for_training(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["task=doctor", *WORDS]) == 0
    capsys.readouterr()
    assert main(["task=doctor", "doctor.data=true", *WORDS]) == 1
    said = capsys.readouterr().out
    assert re.search(r"test\W+real\W+30", said)
    (advice,) = set(re.findall(r"datamodule\.split=folds", said))
    assert main(["task=doctor", "doctor.data=true", *WORDS, advice]) == 0
    assert re.search(r"train\W+generated\W+21\W+mine", capsys.readouterr().out)
    assert main(["task=doctor", "doctor.data=true", *WORDS, "datamodule.path=nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().out
    assert not (mine / "experiments_data/1/splits.parquet").exists()


@pytest.mark.usefixtures("mine")
def test_prepare_says_what_its_file_can_be_used_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["task=prepare", "datamodule=image_tree", "datamodule.path=mine", "prepare.workers=1"]
    assert main([*words, "prepare.out=a.h5"]) == 0
    said = capsys.readouterr().out
    assert "train on it" not in said
    assert "datamodule.split=folds" in said
    assert main([*words, "prepare.out=b.h5", "datamodule.split=folds"]) == 0
    assert "train on it: datamodule=hdf5 datamodule.path=b.h5" in capsys.readouterr().out


def table(file: Path, **columns: list[str]) -> Path:
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return file


def test_tables_are_dealt_into_folds_as_trees_are(mine: Path) -> None:
    paths = [f"mine/{kind}/{k:02}.png" for kind in ("fake", "real") for k in range(30)]
    labels = [path.split("/")[1] for path in paths]
    manifest = FolderDataModule(table(mine / "a.csv", path=paths, label=labels), split="folds").manifest()
    in_tree = told(mine / "mine", split="folds")
    assert dict(zip(paths, manifest.column("split"), strict=True)) == {f"mine/{k}": v[0] for k, v in in_tree.items()}
    shots = [f"shot{k // 2 % 15}" for k in range(60)]
    grouped = FolderDataModule(table(mine / "b.csv", path=paths, label=labels, group=shots), split="folds").manifest()
    pairs = set(zip(grouped.column("group"), grouped.column("split"), strict=True))
    assert len(pairs) == 15
    by_rule = FolderDataModule(mine / "a.csv", group=1).manifest()
    assert Counter(by_rule.column("group")) == {"mine/fake": 30, "mine/real": 30}
    with pytest.raises(DataError, match="has a group column"):
        FolderDataModule(mine / "b.csv", group=1).manifest()


def test_folds_need_labels_and_no_splits(mine: Path) -> None:
    file = table(mine / "a.csv", path=["mine/real/00.png"], label=["0"], split=["train"])
    with pytest.raises(DataError, match=r"names splits\n.*datamodule\.columns\.split=''"):
        FolderDataModule(file, split="folds").manifest()
    with pytest.raises(DataError, match="too few"):  # the advice is taken
        FolderDataModule(file, columns={"split": ""}, split="folds").manifest()
    with pytest.raises(DataError, match=r"has no labels\n.*image_tree"):
        FolderDataModule(mine / "mine", split="folds").manifest()


def test_frames_among_photographs_stay_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lay(tmp_path, *(f"p/video_{v:02}/{k:04}.png" for v in range(20) for k in range(3)))
    PhotographsDataModule(tmp_path / "p").manifest()
    assert "look like frames of a series" in caplog.text
    manifest = PhotographsDataModule(tmp_path / "p", group=1).manifest()
    (stage,) = Plain(seed=0, validation_share=0.3, classes=[0]).stages(manifest)
    groups = manifest.column("group")
    assert len(set(groups)) == 20
    assert not set(groups[stage.train]) & set(groups[stage.validate])


def test_too_few_groups_for_sampled_validation_are_named(tmp_path: Path) -> None:
    lay(tmp_path, *(f"train/{kind}/v{v}/{k}.png" for kind in ("0_real", "1_fake") for v in range(2) for k in range(3)))
    manifest = TreeDataModule(tmp_path, group=1).manifest()
    with pytest.raises(DataError, match=r"(?s)groups are few or large.*benchmark\.validation_share"):
        Plain(seed=0).stages(manifest)
