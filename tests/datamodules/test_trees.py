"""Image trees as their authors lay them out, read without any change."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from synthetic_predictions import draw
from synthetic_trees import lay, told

from benchmarks.evaluation import evaluate
from benchmarks.plain import Plain
from contracts.errors import ConfigError, DataError
from contracts.view import View
from datamodules.trees import TreeDataModule
from detectors.npr.detector import NPR

pytestmark = pytest.mark.filterwarnings("ignore:.*files skipped")


def test_forensynths(tmp_path: Path) -> None:
    lay(
        tmp_path, "train/car/0_real/a.png", "train/car/1_fake/a.PNG", "train/cat/0_real/a.png",
        "train/cat/1_fake/a.jpg", "val/car/0_real/a.png", "val/car/1_fake/a.png", "val/cat/0_real/a.png",
        "test/progan/airplane/1_fake/a.b.jpeg",
        "test/progan/airplane/0_real/b.png", "test/biggan/0_real/a.png", "test/biggan/1_fake/sub/a.png",
    )  # fmt: skip
    found = told(tmp_path, classes=["CAR"], training_generator="progan")
    assert found["train/car/1_fake/a.PNG"] == ("train", 1, "progan", "car")
    assert found["val/car/0_real/a.png"] == ("valid", 0, "", "car")
    assert found["test/progan/airplane/1_fake/a.b.jpeg"] == ("test", 1, "progan", "progan/airplane")
    assert found["test/biggan/1_fake/sub/a.png"] == ("test", 1, "biggan", "biggan")
    assert not any("cat" in name for name in found)
    assert Counter(row[0] for row in found.values()) == {"train": 2, "valid": 2, "test": 4}
    assert {row[3] for row in told(tmp_path, sets=["biggan"]).values() if row[0] == "test"} == {"biggan"}


def test_collections_are_no_sets(tmp_path: Path) -> None:
    root = lay(tmp_path / "UniversalFakeDetect", "guided/1_fake/a.png", "imagenet/0_real/a.png")
    assert told(tmp_path)["UniversalFakeDetect/guided/1_fake/a.png"] == ("test", 1, "guided", root.name + "/guided")
    assert told(root)["guided/1_fake/a.png"] == ("test", 1, "guided", root.name + "/guided")
    assert told(root)["imagenet/0_real/a.png"][3] == "UniversalFakeDetect/imagenet"


def test_genimage_and_cifake_whose_order_misleads(tmp_path: Path) -> None:
    lay(tmp_path / "G", "Midjourney/imagenet_midjourney/train/ai/a.png", "ADM/any_name/val/nature/a.JPEG")
    found = told(tmp_path / "G", splits={"train": "train", "val": "test"})
    assert found == {
        "ADM/any_name/val/nature/a.JPEG": ("test", 0, "", "ADM/any_name"),
        "Midjourney/imagenet_midjourney/train/ai/a.png": (
            "train", 1, "Midjourney", "Midjourney/imagenet_midjourney",
        ),
    }  # fmt: skip
    lay(tmp_path / "CIFAKE", "train/FAKE/a.png", "train/REAL/a.png", "test/REAL/b.png")
    found = told(tmp_path / "CIFAKE")
    assert [found[k][1:3] for k in sorted(found)] == [(0, ""), (1, "CIFAKE"), (0, "")]


def test_diffusion_forensics_has_generators_beside_real(tmp_path: Path) -> None:
    lay(tmp_path, "test/lsun_bedroom/real/a.png", "test/lsun_bedroom/adm/0/a.png", "test/lsun_bedroom/sdv2/a.png")
    found = told(tmp_path, layout="siblings")
    assert found["test/lsun_bedroom/adm/0/a.png"] == ("test", 1, "adm", "lsun_bedroom/adm")
    assert found["test/lsun_bedroom/real/a.png"] == ("test", 0, "", "lsun_bedroom")
    assert len(told(tmp_path, layout="siblings", sets=["sdv2"])) == 2  # with the real images beside it
    assert list(told(tmp_path)) == ["test/lsun_bedroom/real/a.png"]  # what is no class folder is no class
    for name in ("images", "recons"):
        lay(tmp_path / "whole", f"{name}/test/celebahq/real/a.png")
    with pytest.raises(DataError, match=r"Give datamodule\.path=.*whole/images"):
        told(tmp_path / "whole", layout="siblings")


def test_generated_roots_against_roots_of_real_images(tmp_path: Path) -> None:
    lay(tmp_path / "DRCT-2M", "sdxl/val2017/a.png", "sdxl/train2017/a.png")
    lay(tmp_path / "MSCOCO", "val2017/a.png", "train2017/a.png")
    options = {"layout": "generated", "splits": {"train2017": "train", "val2017": "test"}}
    reals = [str(tmp_path / "MSCOCO" / name) for name in ("val2017", "train2017")]
    found = told(tmp_path / "DRCT-2M", reals=reals, **options)
    assert found["sdxl/val2017/a.png"] == ("test", 1, "sdxl", "DRCT-2M/sdxl")
    assert found["train2017/a.png"] == ("train", 0, "", "train2017")
    assert len(found) == 4
    lay(tmp_path / "mine", "a.png")
    found = told(tmp_path / "mine", layout="generated", reals=[str(tmp_path / "MSCOCO")])
    assert found["a.png"] == ("test", 1, "mine", "mine")
    assert found["MSCOCO/val2017/a.png"] == ("test", 0, "", "MSCOCO/val2017")


def test_links_are_followed_once_around_and_shared_images_are_one_photograph(tmp_path: Path) -> None:
    lay(tmp_path / "else", "a.png", "b.png")
    for name in ("adm", "ddpm"):
        lay(tmp_path / "root", f"{name}/1_fake/a.png")
        (tmp_path / "root" / name / "0_real").symlink_to(tmp_path / "else")
    (tmp_path / "root/adm/1_fake/up").symlink_to(tmp_path / "root")
    manifest = TreeDataModule(tmp_path / "root").manifest()
    assert len(manifest) == 6
    groups = [g for g, label in zip(manifest.column("group"), manifest.labels, strict=True) if label == 0]
    assert Counter(Counter(groups).values()) == {2: 2}


def test_stray_files_are_listed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lay(tmp_path, "a/0_real/a.png", "a/1_fake/a.png", "a/stray.png", "other/x.png")
    (tmp_path / "a/0_real/Thumbs.db").write_bytes(b"")
    (tmp_path / "a/0_real/.hidden.png").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    module = TreeDataModule(tmp_path)
    assert len(module.manifest()) == 2
    assert "1 .txt file, 2 hidden files, 2 stray images skipped" in caplog.text
    names = [".hidden.png", "Thumbs.db", "notes.txt", "stray.png", "x.png"]
    assert sorted(path.name for path in module.ignored) == names


def test_sets_of_one_class_give_what_they_can_and_say_what_not() -> None:
    drawn = draw()
    found = {r.metric: r for r in evaluate(drawn.select(drawn.fused_labels == 0)) if r.kind == "pooled"}
    assert found["accuracy"].value > 0
    assert found["specificity"].value > 0
    assert found["auroc"].reason == "no generated images"


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, "it is empty"),
        (["a/b/c.png"], {}, r"it contains a\n.*Class folders are named 0_real"),
        (["car/0_real/a.png", "car/1_fake/a.txt"], {}, "1_fake contains no image"),
        (["s/0_real/x/1_fake/a.png"], {}, "named after label 1, but is in .*0_real of label 0"),
        (["train/car/0_real/a.png"], {"classes": ["cars"]}, r"'cars', .*training.*\n.*'car'"),
        (["test/biggan/0_real/a.png"], {"sets": ["bigan"]}, r"'bigan'.*test.*\n.*'biggan'"),
        (["a/0_real/a.png"], {"layout": "generated", "reals": ["/nowhere"]}, "/nowhere is not a folder"),
    ],
)
def test_bad_trees(tmp_path: Path, names: list[str], options: dict[str, Any], message: str) -> None:
    for name in names:
        file = tmp_path / "root" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    (tmp_path / "root").mkdir(exist_ok=True)
    with pytest.raises(DataError, match=message):
        TreeDataModule(tmp_path / "root", **options).manifest()


def test_a_class_folder_itself_is_no_root(tmp_path: Path) -> None:
    lay(tmp_path, "0_real/a.png")
    with pytest.raises(DataError, match=f"Give the folder above: {tmp_path}"):
        TreeDataModule(tmp_path / "0_real").manifest()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "pair"}, "'pairs'"),
        ({"layout": "generated"}, "datamodule.reals"),
        ({"splits": {"val2017": "vald"}}, "'valid'"),
        ({"labels": {"good": 2}}, "Give 0 for real"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TreeDataModule(tmp_path, **options)


def test_a_class_missing_from_training_is_reported_before_training(tmp_path: Path) -> None:
    lay(tmp_path, "train/car/0_real/a.png", "train/car/0_real/b.png", "val/car/0_real/a.png", "val/car/1_fake/a.png")
    with pytest.raises(DataError, match=r"split 'train': labels \[0\] in 2 images"):
        Plain(seed=0).stages(TreeDataModule(tmp_path).manifest())


def test_native_sizes_share_batches_and_batching_changes_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, (height, width) in enumerate([(16, 24), (17, 16), (16, 24), (16, 16), (17, 16), (16, 24), (16, 24)]):
        file = tmp_path / "set" / ("0_real", "1_fake")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file)
    (tmp_path / "set/0_real/broken.png").write_bytes(file.read_bytes()[:60])
    torch.manual_seed(0)
    detector = NPR(View(), View()).eval()
    scores, sizes = [], []
    for batch_size in (1, 3):
        module = TreeDataModule(tmp_path, eval_batch_size=batch_size)
        module.use(detector.train_view, detector.eval_view)
        module.evaluate(np.arange(8))
        found: dict[int, float] = {}
        sizes.append([])
        for batch in module.test_dataloader():
            with torch.no_grad():
                found |= dict(zip(batch.row.tolist(), detector.score(batch).logits.tolist(), strict=True))
            sizes[-1].append(len(batch.row))
        assert [failure.id for failure in module.failures] == ["set/0_real/broken.png"]
        scores.append([found[row] for row in sorted(found)])
    assert sizes == [[1] * 7, [1, 3, 1, 2]]
    assert len(set(scores[0])) == 7
    np.testing.assert_allclose(scores[0], scores[1], rtol=0, atol=1e-6)
