"""Which sets there are, whose real images they are measured against, and through which view."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.forensynths_tables.assign import Assigned, assign
from benchmarks.forensynths_tables.protocol import ForenSynthsTables
from benchmarks.forensynths_tables.published import load, names
from contracts.errors import DataError
from contracts.view import View
from datamodules.tables.manifest import Manifest
from datamodules.trees import TreeDataModule

TABLES = [load(name) for name in names()]
Found = dict[str, dict[str, tuple[set[str], set[str]]]]


def lay(root: Path, *folders: str) -> Path:
    """An image in each of these folders."""
    for folder in folders:
        (root / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / folder / "0.png")
    return root


def sets(manifest: Manifest) -> Found:
    """Table → set → folders of its real and of its generated images."""
    columns = [manifest.column(name) for name in ("source", "generator")]
    found: Found = {}
    for one in assign(*columns, manifest.labels, TABLES, others=True):
        for name, images in one.sets.items():
            of = tuple(
                {str(Path(manifest.image_id(int(k))).parent) for k in images if manifest.labels[k] == label}
                for label in (0, 1)
            )
            found.setdefault(one.table.name, {})[name] = (of[0], of[1])
    return found


DF = [f"images/test/lsun_bedroom/{name}" for name in ("real", "adm", "ddpm", "midjourney", "dalle2")]


@pytest.mark.parametrize("above", ["DF", "DiffusionForensics", "GANGen-Detection/x/DiffusionForensics"])
@pytest.mark.parametrize("depth", ["", "images", "images/test", "images/test/lsun_bedroom"])
def test_diffusion_forensics_is_its_own_table_wherever_the_path_begins(tmp_path: Path, above: str, depth: str) -> None:
    lay(tmp_path / above, *DF)
    root = tmp_path / above / depth
    found = sets(TreeDataModule(root, layout="siblings", corpus="DiffusionForensics").manifest())
    assert {table: set(members) for table, members in found.items()} == {
        "diffusionforensics": {"adm", "ddpm"},
        "diffusionforensics_others": {"midjourney", "dalle2"},
    }
    real = str(Path("images/test/lsun_bedroom/real").relative_to(depth or "."))
    assert all(of[0] == {real} for members in found.values() for of in members.values())


def test_the_innermost_corpus_folder_says_whose_sets_they_are(tmp_path: Path) -> None:
    root = lay(tmp_path / "AIGCDetectBenchmark", "ForenSynths_test/progan/1_fake", "progan/1_fake")
    found = sets(TreeDataModule(root).manifest())
    assert found["forensynths"]["progan"][1] == {"ForenSynths_test/progan/1_fake"}
    assert found["aigcdetectbenchmark"]["ProGAN"][1] == {"progan/1_fake"}
    found = sets(TreeDataModule(lay(tmp_path / "Chameleon", "ADM/1_fake", "ADM/0_real") / "ADM").manifest())
    assert found == {}  # a corpus without a table is no other corpus' set


@pytest.mark.parametrize(
    ("folders", "layout", "real"),
    [
        (["ADM/1_fake", "glide/1_fake", "coco/0_real"], "pairs", "coco/0_real"),
        (["ADM/ai", "glide/ai", "nature"], "pairs", "nature"),
        (["real", "ADM", "glide"], "siblings", "real"),
        (["x/y/ADM/fake", "x/y/glide/fake", "x/y/photos/real", "z/laion/real"], "pairs", "x/y/photos/real"),
    ],
)
def test_real_images_in_a_set_of_their_own_serve_all_sets_without(
    tmp_path: Path, folders: list[str], layout: str, real: str
) -> None:
    found = sets(TreeDataModule(lay(tmp_path / "mydata", *folders), layout=layout).manifest())  # type: ignore[arg-type]
    assert found["genimage"]["ADM"][0] == found["genimage"]["glide"][0] == {real}


def test_a_set_with_real_images_of_its_own_keeps_to_them_and_lends_none(tmp_path: Path) -> None:
    root = lay(tmp_path, "progan/0_real", "progan/1_fake", "biggan/1_fake", "crn/0_real", "crn/1_fake")
    found = sets(TreeDataModule(root).manifest())
    assert found["forensynths"]["progan"] == ({"progan/0_real"}, {"progan/1_fake"})
    assert found["forensynths"]["biggan"][0] == set()
    assert found["forensynths_others"] == {"crn": ({"crn/0_real"}, {"crn/1_fake"})}
    lay(root, "coco/0_real")
    found = sets(TreeDataModule(root).manifest())
    assert found["forensynths"]["progan"][0] == {"progan/0_real"}
    assert found["forensynths"]["biggan"][0] == {"coco/0_real"}


def test_nothing_vanishes(tmp_path: Path) -> None:
    others = ("crn", "imle", "san", "seeingdark", "whichfaceisreal")
    root = lay(tmp_path / "CNN_synth_testset", *(f"{s}/{c}" for s in ("progan", *others) for c in ("0_real", "1_fake")))
    lay(root, "mine/1_fake", "photos/0_real")
    manifest = TreeDataModule(root).manifest()
    found = sets(manifest)
    assert set(found) == {"forensynths", "forensynths_others"}
    assert set(found["forensynths_others"]) == {*others, "mine"}
    assert found["forensynths_others"]["mine"][0] == {"photos/0_real"}
    assert len(ForenSynthsTables(seed=0).test_rows(manifest)) == len(manifest)
    (root.parent / "loose").mkdir()
    root.rename(root.parent / "loose/tree")  # nor where no folder says whose sets they are
    assert set(sets(TreeDataModule(root.parent / "loose/tree").manifest())) == {
        "forensynths", "forensynths_others", "other_sets",
    }  # fmt: skip
    with pytest.raises(DataError, match="benchmark=plain"):
        ForenSynthsTables(seed=0).test_rows(manifest.take([int(np.flatnonzero(manifest.labels == 0)[-2])]))


def test_real_images_of_two_tables_are_seen_through_the_view_of_each(tmp_path: Path) -> None:
    root = lay(tmp_path, "ForenSynths_test/progan/1_fake", "GANGen-Detection/AttGAN/1_fake", "coco/0_real")
    manifest = TreeDataModule(root).manifest()
    passes = ForenSynthsTables(seed=0).passes(manifest, np.arange(3), View(crop=32))
    seen = {view: {manifest.image_id(row).split("/")[0] for row in rows} for view, rows in passes}
    assert seen == {View(resize=256): {"ForenSynths_test", "coco"}, View(): {"GANGen-Detection", "coco"}}


def test_images_of_unknown_label_are_in_no_set() -> None:
    one: list[Assigned] = assign(["progan", "progan"], ["progan", ""], np.array([1, -1]), TABLES)
    assert one[0].images.tolist() == [0]
