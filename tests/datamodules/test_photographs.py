from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.plain import Plain
from contracts.errors import DataError
from datamodules.photographs import PhotographsDataModule


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in [*(f"train2017/{k}.jpg" for k in range(12)), "val2017/0.jpg", "val2017/1.jpg"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(tmp_path / name)
    return tmp_path


def test_two_folders_are_a_training_and_a_validation_split_of_real_images(tree: Path) -> None:
    made = PhotographsDataModule(tree / "train2017", tree / "val2017")
    manifest = made.manifest()
    assert len(manifest.rows("train")) == 12
    assert len(manifest.rows("valid")) == 2
    assert set(manifest.labels.tolist()) == {0}
    assert made.path == tree / "train2017"
    assert made.store().read(13) == (tree / "val2017/1.jpg").read_bytes()
    (stage,) = Plain(0, classes=[0]).stages(manifest)
    assert (len(stage.train), len(stage.validate)) == (12, 2)
    with pytest.raises(DataError, match=r"benchmark\.classes=\[0\]"):
        Plain(0).stages(manifest)


def test_a_list_file_names_training_images_of_which_some_validate(tree: Path) -> None:
    listed = tree / "train_list.txt"
    listed.write_text("\n".join(f"train2017/{k}.jpg" for k in range(12)) + "\n")
    manifest = PhotographsDataModule(listed).manifest()
    assert manifest.image_id(3) == "train/train2017/3.jpg"
    (stage,) = Plain(0, validation_share=0.4, classes=[0]).stages(manifest)
    assert len(stage.train) + len(stage.validate) == 12
    assert len(stage.validate)


def test_a_missing_validation_place_is_named(tree: Path) -> None:
    made = PhotographsDataModule(tree / "train2017", tree / "val2018")
    with pytest.raises(DataError, match="val2018: no such file"):
        made.manifest()
    assert made.path == tree / "train2017"
