"""Where splits, sets, generators and groups may be in a tree, and what is refused."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from synthetic_trees import lay, told

from benchmarks.plain import Plain
from contracts.errors import ConfigError, DataError
from datamodules.folders.names import SPLITS
from datamodules.tables.groups import series
from datamodules.trees import TreeDataModule


def frames(*folders: str, count: int = 3) -> list[str]:
    return [f"{folder}/{k:04}.png" for folder in folders for k in range(count)]


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("TRAIN", "Valid", "Testing"), ("training", "validation", "test")]
)
@pytest.mark.parametrize("form", ["{split}/{kind}/a.png", "{kind}/{split}/a.png", "{kind}/x/{split}/y/a.png"])
@pytest.mark.parametrize("layout", ["pairs", "siblings"])
def test_splits_lie_above_or_below_class_folders(
    tmp_path: Path, names: tuple[str, ...], form: str, layout: str
) -> None:
    kinds = ("real", "fake") if layout == "pairs" else ("real", "adm")
    lay(tmp_path, *(form.format(kind=kind, split=split) for kind in kinds for split in names))
    found = told(tmp_path, layout=layout)
    wanted = {
        form.format(kind=kind, split=split): (SPLITS[split.lower()], kind != "real")
        for kind in kinds
        for split in names
    }
    assert {name: (row[0], row[1] == 1) for name, row in found.items()} == wanted
    if layout == "siblings":
        assert {row[2] for row in found.values()} == {"", "adm"}


def test_genimage_beside_its_real_images_keeps_its_splits(tmp_path: Path) -> None:
    kinds, splits = ("real", "ADM", "BigGAN"), ("train", "val")
    lay(tmp_path, *(f"{kind}/{split}/{k}.png" for kind in kinds for split in splits for k in range(2)))
    found = told(tmp_path, layout="siblings", splits={"train": "train", "val": "test"})
    assert Counter((row[0], row[2]) for row in found.values()) == {
        (split, maker): 2 for split in ("train", "test") for maker in ("", "ADM", "BigGAN")
    }
    assert {row[0] for row in told(tmp_path, layout="siblings", splits={"val": "test"}).values()} == {"train", "test"}


def test_a_name_for_validation_means_what_its_synonym_was_given(tmp_path: Path) -> None:
    lay(tmp_path, "ADM/validation/ai/a.png", "ADM/Train/ai/a.png", "VQDM/test/ai/a.png")
    found = told(tmp_path, splits={"train": "train", "val": "test"})
    assert {name: row[0] for name, row in found.items()} == {
        "ADM/Train/ai/a.png": "train", "ADM/validation/ai/a.png": "test", "VQDM/test/ai/a.png": "test",
    }  # fmt: skip


def test_roots_of_one_class_are_split_by_folders_or_by_their_own_name(tmp_path: Path) -> None:
    lay(tmp_path, "gen/sdxl/train/a.png", "gen/sdxl/TEST/a.png", "coco/train/a.png", "coco/test/a.png", "own/val/a.png")
    found = told(tmp_path / "gen", layout="generated", reals=[str(tmp_path / "coco"), str(tmp_path / "own/val")])
    assert {name: row[:3] for name, row in found.items()} == {
        "sdxl/train/a.png": ("train", 1, "sdxl"), "sdxl/TEST/a.png": ("test", 1, "sdxl"),
        "coco/train/a.png": ("train", 0, ""), "coco/test/a.png": ("test", 0, ""), "val/a.png": ("valid", 0, ""),
    }  # fmt: skip
    assert told(tmp_path / "gen/sdxl/train", layout="generated", reals=[str(tmp_path / "coco")])["a.png"][0] == "train"


@pytest.mark.parametrize(
    "names",
    [
        ("train/real/val/a.png", "train/real/train/a.png"),
        ("real/train/test/a.png", "real/train/train/a.png"),
        ("val/x/test/1_fake/a.png",),
        ("test/ADM/train/ai/a.png", "test/ADM/val/ai/a.png"),
    ],
)
def test_two_splits_above_one_image_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"is named after split \w+, but is in .* of split \w+\n.*: null\}'") as caught:
        told(lay(tmp_path, *names))
    name = caught.value.step.rpartition("{")[2].removesuffix(": null}'.")
    assert name in SPLITS
    assert len(told(tmp_path, splits={name: None})) == len(names)  # the advice works


def test_vehicles_are_a_class_and_lone_names_in_test_folders_are_sets(tmp_path: Path) -> None:
    lay(tmp_path, "progan/train/0_real/a.png", "progan/train/1_fake/a.png", "progan/bus/0_real/a.png")
    assert {row[0] for row in told(tmp_path).values()} == {"test"}
    assert told(tmp_path)["progan/train/1_fake/a.png"][3] == "progan/train"
    lay(tmp_path / "b", "test/imagenet/val/nature/a.png", "test/progan/train/ai/a.png", "train/train/1_fake/a.png")
    found = told(tmp_path / "b")
    assert [found[name][0] for name in sorted(found)] == ["test", "test", "train"]
    assert found["train/train/1_fake/a.png"][3] == "train"


def test_generators_below_class_folders_are_named(tmp_path: Path) -> None:
    lay(tmp_path / "mine", "fake/midjourney/a.png", "fake/dalle3/v/b.png", "fake/c.png", "real/d.png")
    found = told(tmp_path / "mine")
    assert {name: row[2:] for name, row in found.items()} == {
        "fake/midjourney/a.png": ("midjourney", "midjourney"), "fake/dalle3/v/b.png": ("dalle3", "dalle3"),
        "fake/c.png": ("mine", "mine"), "real/d.png": ("", "mine"),
    }  # fmt: skip
    assert {row[2] for row in told(tmp_path / "mine", sets=["dalle3"]).values()} == {"", "dalle3"}
    lay(tmp_path / "cut", "train/bad/sdxl/a.png", "bad/sdxl/test/b.png", "bad/test/flux/c.png", "good/coco/d.png")
    found = told(tmp_path / "cut", labels={"bad": 1, "good": 0})
    assert {name: (row[0], *row[2:]) for name, row in found.items()} == {
        "train/bad/sdxl/a.png": ("train", "sdxl", "sdxl"), "bad/sdxl/test/b.png": ("test", "sdxl", "sdxl"),
        "bad/test/flux/c.png": ("test", "flux", "flux"), "good/coco/d.png": ("test", "", "coco"),
    }  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        ("real/car/a.png", "fake/car/a.png", "fake/bus/a.png"),  # classes of objects
        ("real/a.png", "fake/video_01/a.png", "fake/0002/a.png"),  # numbered parts
        ("real/a.png", "fake/images/a.png"),  # a collection
    ],
)
def test_other_folders_below_class_folders_name_no_generator(tmp_path: Path, names: tuple[str, ...]) -> None:
    found = told(lay(tmp_path / "mine", *names))
    assert {row[2] for row in found.values()} == {"", "mine"}
    assert {row[3] for row in found.values()} == {"mine"}


def test_a_set_above_the_class_folder_comes_first(tmp_path: Path) -> None:
    assert told(lay(tmp_path, "adm/1_fake/midjourney/a.png"))["adm/1_fake/midjourney/a.png"][2:] == ("adm", "adm")


def test_real_images_of_their_own_set_stay_with_the_sets_chosen(tmp_path: Path) -> None:
    lay(tmp_path, "ADM/1_fake/a.png", "glide/1_fake/a.png", "coco/0_real/a.png", "laion/0_real/a.png")
    lay(tmp_path, "own/0_real/a.png", "own/1_fake/a.png")
    sources = {name: row[3] for name, row in told(tmp_path).items()}
    assert sources["coco/0_real/a.png"] == "coco"
    assert set(told(tmp_path, sets=["adm"])) == {"ADM/1_fake/a.png", "coco/0_real/a.png", "laion/0_real/a.png"}
    assert set(told(tmp_path, sets=["adm", "coco"])) == {"ADM/1_fake/a.png", "coco/0_real/a.png"}
    assert set(told(tmp_path, sets=["own"])) == {"own/0_real/a.png", "own/1_fake/a.png"}
    found = told(tmp_path, split="train", classes=["glide"])
    assert set(found) == {"glide/1_fake/a.png", "coco/0_real/a.png", "laion/0_real/a.png"}


def test_images_beside_real_ones_are_pointed_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lay(tmp_path, "real/a.png", "ADM/a.png", "ADM/deep/b.png", "else/c.png")
    assert len(told(tmp_path)) == 1
    assert "3 images in no class folder but beside one of real images" in caplog.text
    assert {row[2] for row in told(tmp_path, layout="siblings").values()} == {"", "ADM", "else"}
    assert len(told(tmp_path, labels={"adm": 1})) == 3


def roots(tmp_path: Path) -> tuple[Path, Path]:
    lay(
        tmp_path,
        "T1/sdxl/a.png",
        "T1/TestSet/real_coco/a.png",
        "T1/TestSet/real_coco/deep/b.png",
        "T1/TestSet/ldm/c.png",
    )
    return tmp_path / "T1", tmp_path / "T1/TestSet/real_coco"


@pytest.mark.parametrize("spelling", ["{0}", "{0}/", "{0}/../real_coco", "relative", "link", "{0}/."])
def test_real_roots_within_the_path_are_real_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    path, real = roots(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(real)
    named = {"relative": "T1/TestSet/real_coco", "link": "link"}.get(spelling) or spelling.format(real)
    found = told(path, layout="generated", reals=[named])
    assert Counter(row[1] for row in found.values()) == {0: 2, 1: 2}
    assert {row[2] for row in found.values()} == {"", "sdxl", "TestSet"}


def test_a_linked_root_and_a_link_within_the_path(tmp_path: Path) -> None:
    path, real = roots(tmp_path)
    lay(tmp_path, "far/d.png")
    (path / "again").symlink_to(real)
    (path / "away").symlink_to(tmp_path / "far")
    (tmp_path / "alias").symlink_to(path)
    found = told(tmp_path / "alias", layout="generated", reals=[str(real), str(tmp_path / "far")])
    assert Counter(row[1] for row in found.values()) == {0: 3, 1: 2}


def test_generated_images_within_a_real_root_are_generated_alone(tmp_path: Path) -> None:
    lay(tmp_path, "all/fake/a.png", "all/b.png", "all/more/c.png")
    found = told(tmp_path / "all/fake", layout="generated", reals=[str(tmp_path / "all"), str(tmp_path / "all/more")])
    assert Counter(row[1] for row in found.values()) == {0: 2, 1: 1}


def test_one_folder_twice_is_refused(tmp_path: Path) -> None:
    path, real = roots(tmp_path)
    for reals in ([str(path)], [str(real), f"{real}/../real_coco"]):
        with pytest.raises(DataError, match="are the same folder"):
            told(path, layout="generated", reals=reals)


@pytest.mark.parametrize("layout", ["pairs", "generated"])
def test_one_file_with_two_labels_is_refused(tmp_path: Path, layout: str) -> None:
    lay(tmp_path, "T/1_fake/a.png", "R/0_real/b.png")
    if layout == "pairs":
        (tmp_path / "T/0_real").symlink_to(tmp_path / "T/1_fake")
    else:
        (tmp_path / "T/1_fake/b.png").symlink_to(tmp_path / "R/0_real/b.png")
    reals = [str(tmp_path / "R")] if layout == "generated" else []
    with pytest.raises(DataError, match=r"\((real|generated)\) and .* \((real|generated)\) are the same file"):
        told(tmp_path / "T", layout=layout, reals=reals)


def test_ids_of_a_real_root_named_like_a_folder_in_the_path_stay_unique(tmp_path: Path) -> None:
    lay(tmp_path, "T/coco/a.png", "R/coco/a.png")
    found = told(tmp_path / "T", layout="generated", reals=[str(tmp_path / "R/coco")])
    assert {name: row[1] for name, row in found.items()} == {"coco/a.png": 1, "R/coco/a.png": 0}


def grouped(root: Path, group: Any, **options: Any) -> dict[str, str]:
    manifest = TreeDataModule(root, group=group, **options).manifest()
    return dict(zip(manifest.column("id").tolist(), manifest.column("group").tolist(), strict=True))


def test_groups_by_level_or_pattern(tmp_path: Path) -> None:
    lay(tmp_path, "0_real/v1/a.png", "1_fake/v1/a.png", "1_fake/v2/deep/a.png", "0_real/loose.png", "s/0_real/v1/a.png")
    assert grouped(tmp_path, 1) == {
        "0_real/v1/a.png": "v1", "1_fake/v1/a.png": "v1", "1_fake/v2/deep/a.png": "v2/deep", "0_real/loose.png": "",
        "s/0_real/v1/a.png": "s/v1",
    }  # fmt: skip
    assert grouped(tmp_path, "2")["1_fake/v2/deep/a.png"] == "v2"
    assert grouped(tmp_path, r"v\d")["1_fake/v2/deep/a.png"] == "v2"
    assert grouped(tmp_path, r"(\w)_\w+/v(\d)")["1_fake/v2/deep/a.png"] == "1/2"
    lay(tmp_path / "T", "T/gen/train/v1/a.png", "R/v1/b.png")
    found = grouped(tmp_path / "T/T", 1, layout="generated", reals=[str(tmp_path / "T/R")])
    assert found == {"gen/train/v1/a.png": "gen/v1", "R/v1/b.png": "v1"}
    found = grouped(lay(tmp_path / "S", "real/v1/a.png", "adm/train/v1/b.png", "real/c.png"), 1, layout="siblings")
    assert found == {"real/v1/a.png": "v1", "adm/train/v1/b.png": "v1", "real/c.png": ""}


@pytest.mark.parametrize(
    ("group", "message"), [(0, "Give 1"), ("-1", "Give 1"), (True, "Give a number"), ("(", "is not a pattern")]
)
def test_rules_that_cannot_work(tmp_path: Path, group: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TreeDataModule(tmp_path, group=group)


@pytest.mark.parametrize("group", [3, "video_[0-9]+"])
def test_a_rule_that_groups_nothing_is_refused(tmp_path: Path, group: Any) -> None:
    with pytest.raises(DataError, match=r"groups none of the 2 images, such as 0_real/v1/a.png"):
        grouped(lay(tmp_path, "0_real/v1/a.png", "1_fake/v1/a.png"), group)


def test_sampled_validation_and_folds_never_split_a_group(tmp_path: Path) -> None:
    lay(tmp_path, *frames(*(f"train/{kind}/video_{k:02}" for k in range(20) for kind in ("0_real", "1_fake")), count=2))
    manifest = TreeDataModule(tmp_path, group=1).manifest()
    (stage,) = Plain(seed=0, validation_share=0.3).stages(manifest)
    groups = manifest.column("group")
    assert not set(groups[stage.train]) & set(groups[stage.validate])
    folds = TreeDataModule(tmp_path, group=r"video_\d+", split="folds", splits={"train": None}).manifest()
    dealt = dict(zip(folds.column("group").tolist(), folds.column("split").tolist(), strict=True))
    pairs = set(zip(folds.column("group").tolist(), folds.column("split").tolist(), strict=True))
    assert len(pairs) == len(dealt) == 20


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (frames("0_real/video_00", "0_real/video_01"), "0_real/video_00"),
        (frames("a/000", "a/001"), "a/000"),
        ([f"0_real/video{v}_{k:04}.png" for v in range(2) for k in range(3)], "0_real/video0…"),
        ([f"r/{v}_frame{k}.jpg" for v in ("walk", "run") for k in range(2)], "r/walk…"),
        (frames("0_real", "1_fake"), ""),
        (frames("0_real/car", "0_real/bus"), ""),
        (["r/n01440764_10026.JPEG", "r/n01440764_10027.JPEG", "r/n02_1.JPEG", "r/n02_2.JPEG"], ""),
        ([f"r/leaf{k}.png" for k in range(5)], ""),
    ],
)
def test_names_that_look_like_series(ids: list[str], found: str) -> None:
    assert series(ids) == found


def test_series_without_a_rule_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lay(tmp_path, *frames("0_real/video_00", "0_real/video_01", "1_fake/video_00"))
    TreeDataModule(tmp_path).manifest()
    assert "datamodule.group=1" in caplog.text
    caplog.clear()
    TreeDataModule(tmp_path, group=1).manifest()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_folds_of_trees_and_roots(tmp_path: Path) -> None:
    lay(tmp_path, *(f"mine/{kind}/{k:02}.png" for kind in ("real", "fake") for k in range(30)))
    found = told(tmp_path / "mine", split="folds")
    assert Counter(row[:2] for row in found.values()) == {
        (split, label): count for split, count in (("train", 21), ("valid", 3), ("test", 6)) for label in (0, 1)
    }
    assert found != told(tmp_path / "mine", split="folds", fold_seed=1)
    there = told(tmp_path / "mine/fake", layout="generated", reals=[str(tmp_path / "mine/real")], split="folds")
    assert Counter(row[0] for row in there.values()) == {"train": 42, "valid": 6, "test": 12}


def test_folds_where_folders_name_splits_are_refused_and_the_advice_works(tmp_path: Path) -> None:
    lay(tmp_path, *(f"{kind}/train/{k:02}.png" for kind in ("real", "fake") for k in range(10)))
    with pytest.raises(DataError, match=r"name the splits of 20 of 20 images.*\(train\)\n.*splits=\{NAME: null\}"):
        told(tmp_path, split="folds")
    assert Counter(row[0] for row in told(tmp_path, split="folds", splits={"train": None}).values())["test"] == 4


def test_groups_and_files_in_training_and_test_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lay(tmp_path / "a", "train/0_real/v1/a.png", "test/0_real/v1/b.png", "test/1_fake/v2/c.png", "test/1_fake/v2/d.png")
    TreeDataModule(tmp_path / "a").manifest()
    assert not caplog.text
    TreeDataModule(tmp_path / "a", group=1).manifest()
    assert "training or validation shares 1 group with testing, such as v1" in caplog.text
    caplog.clear()
    lay(tmp_path / "b", "train/0_real/a.png", "test/1_fake/c.png")
    (tmp_path / "b/test/0_real").symlink_to(tmp_path / "b/train/0_real")
    TreeDataModule(tmp_path / "b").manifest()
    assert "a.png" in caplog.text
