import io
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from contracts.errors import DataError
from contracts.view import View
from datamodules.hdf5 import Hdf5DataModule

SIZES = {"train": 5, "valid": 2, "test": 3}
TEXTS = h5py.string_dtype("utf-8")


def image(name: str, row: int) -> np.ndarray[Any, Any]:
    return np.full((4, 6, 3), 10 * row + len(name), np.uint8)


def png(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return np.frombuffer(stream.getvalue(), np.uint8)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """The layout in which users of the aiornot data have theirs."""
    path = tmp_path / "users.h5"
    with h5py.File(path, "w") as file:
        for name, count in SIZES.items():
            file[f"{name}/image"] = np.stack([image(name, row) for row in range(count)])
            file[f"{name}/target"] = np.arange(count) % 2
    return path


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """What task=prepare writes with storage=encoded."""
    path = tmp_path / "prepared.h5"
    with h5py.File(path, "w") as file:
        file.attrs.update({"pixelproof_format": 1, "storage": "encoded", "size": 0, "decoder": "torchvision"})
        for name, count in SIZES.items():
            group = file.create_group(name)
            data = [png(image(name, row)) for row in range(count)]
            group["bytes"] = np.concatenate(data)
            group["length"] = np.array([len(one) for one in data], np.int64)
            group["offset"] = np.cumsum([0] + [len(one) for one in data[:-1]]).astype(np.int64)
            group["target"] = np.arange(count) % 2
            for column, texts in {
                "id": [f"ü{name}-{row}" for row in range(count)],
                "generator": ["" if row % 2 == 0 else "gan" for row in range(count)],
                "source": ["web"] * count,
                "group": [f"photo-{row}" for row in range(count)],
                "where": ["shard.parquet"] * count,
                "format": ["PNG"] * count,
                "licence": ["CC0"] * count,
            }.items():
                group.create_dataset(column, data=texts, dtype=TEXTS)
            group["row"] = np.arange(count) + 100
            group["width"], group["height"] = np.full(count, 6, np.int32), np.full(count, 4, np.int32)
    return path


def pixels(module: Hdf5DataModule) -> dict[str, int]:
    module.use(View(), View())
    module.evaluate(np.arange(len(module.manifest())))
    names = module.manifest().column("id")
    return {
        names[row]: int(picture.max())
        for batch in module.test_dataloader()
        for row, picture in zip(batch.row.tolist(), batch.images, strict=True)
    }


def test_a_file_as_users_have_it(users: Path) -> None:
    module = Hdf5DataModule(users, batch_size=4)
    manifest = module.manifest()
    assert [len(manifest.rows(name)) for name in SIZES] == list(SIZES.values())
    assert manifest.column("id")[[0, 5, 9]].tolist() == ["train/0", "valid/0", "test/2"]
    assert manifest.labels.tolist() == [0, 1, 0, 1, 0, 0, 1, 0, 1, 0]
    assert set(manifest.column("width")) == {6}
    assert set(manifest.column("height")) == {4}
    expected = {f"{name}/{row}": 10 * row + len(name) for name, count in SIZES.items() for row in range(count)}
    assert pixels(module) == expected


def test_a_prepared_file_brings_its_manifest_along(prepared: Path) -> None:
    module = Hdf5DataModule(prepared, batch_size=4)
    row = module.manifest().table.to_pylist()[6]
    assert row == {
        "id": "üvalid-1", "label": 1, "generator": "gan", "split": "valid", "source": "web", "group": "photo-1",
        "where": f"{prepared}::valid", "row": 1, "width": 6, "height": 4, "format": "PNG",
        "licence": "CC0", "origin": "shard.parquet", "origin_row": 101,
    }  # fmt: skip
    expected = {f"ü{name}-{row}": 10 * row + len(name) for name, count in SIZES.items() for row in range(count)}
    assert pixels(module) == expected


def test_a_group_may_be_absent(users: Path) -> None:
    with h5py.File(users, "a") as file:
        del file["test"]
    manifest = Hdf5DataModule(users).manifest()
    assert len(manifest) == 7
    assert not len(manifest.rows("test"))


def _drop(file: h5py.File) -> None:
    for name in SIZES:
        file.move(name, f"my_{name}")


def _replace(file: h5py.File, name: str, data: Any) -> None:
    del file[name]
    file[name] = data


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_drop, ["none of the groups", "my_train"]),
        (lambda file: file.__delitem__("valid/target"), ["::valid", "no 'target'"]),
        (lambda file: file.__delitem__("valid/image"), ["::valid", "no images"]),
        (lambda file: _replace(file, "test/target", np.arange(7)), ["::test", "'image' has 3 rows, 'target' has 7"]),
        (lambda file: _replace(file, "test/target", np.array([0, 0.5, 1])), ["target 0.5 in row 1"]),
        (lambda file: _replace(file, "test/target", np.array([0, 5, 1])), ["label 5"]),
        (lambda file: file.attrs.__setitem__("pixelproof_format", 2), ["format 2", "Update"]),
        (lambda file: file.__setitem__("test/photo", np.arange(3)), ["group 'train' lacks 'photo'"]),
    ],
)
def test_what_is_wrong_with_a_file_is_reported(users: Path, damage: Any, words: list[str]) -> None:
    with h5py.File(users, "a") as file:
        damage(file)
    with pytest.raises(DataError) as caught:
        Hdf5DataModule(users).manifest()
    for word in words:
        assert word in str(caught.value)


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        Hdf5DataModule(tmp_path / "absent.h5").manifest()
    (tmp_path / "a.h5").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="not a readable HDF5"):
        Hdf5DataModule(tmp_path / "a.h5").manifest()


@pytest.mark.parametrize(
    ("name", "split"), [("val", "valid"), ("validation", "valid"), ("Testing", "test"), ("TRAIN", "train")]
)
def test_usual_names_of_splits_are_read(users: Path, name: str, split: str) -> None:
    before = Hdf5DataModule(users).manifest()
    with h5py.File(users, "r+") as file:
        file.move(split, name)
    module = Hdf5DataModule(users)
    manifest = module.manifest()
    assert manifest.column("split").tolist() == before.column("split").tolist()
    rows = manifest.rows(split)
    assert manifest.column("id")[rows].tolist() == [f"{name}/{row}" for row in range(SIZES[split])]
    np.testing.assert_array_equal(module.store().read(int(rows[1])), image(split, 1))


def test_two_groups_of_one_split_are_refused_and_others_named(users: Path, caplog: pytest.LogCaptureFixture) -> None:
    with h5py.File(users, "r+") as file:
        file.copy("valid", "extra")
        file["classes"] = np.arange(2)
    assert len(Hdf5DataModule(users).manifest()) == 10
    assert "ignored, because it is not a split: 'extra'" in caplog.text
    with h5py.File(users, "r+") as file:
        file.move("extra", "val")
    with pytest.raises(DataError, match="two groups of split 'valid': 'val' and 'valid'"):
        Hdf5DataModule(users).manifest()
