"""Trees nobody thought of: each image is read once, rightly, or passed over, or the tree is refused by name."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import PixelProofError
from datamodules.folders.names import LABELS, SPLITS
from datamodules.trees import TreeDataModule

CLASSES = ("0_real", "1_fake", "real", "Fake", "nature", "ai", "REAL", "generated")
SPLIT_NAMES = ("train", "val", "Valid", "validation", "TEST", "testing", "training")
SETS = ("adm", "progan", "midjourney", "coco", "dalle3", "DiffusionForensics", "images", "train2017", "bus")
PARTS = ("video_00", "video_01", "0001", "car", "deep")
HIDDEN = (".ipynb_checkpoints", "__MACOSX", ".thumbnails")
FILES = (
    "a.png", "b.png", "B.JPG", "frame_0001.webp", "clip01_0002.png", "notes.txt", "photo.psd", ".hidden.png",
    "Thumbs.db", "ü 1.png",
)  # fmt: skip

folders = st.one_of(*map(st.sampled_from, (CLASSES, CLASSES, SPLIT_NAMES, SETS, PARTS, HIDDEN)))
files = st.tuples(st.lists(folders, max_size=5), st.sampled_from(FILES)).map(lambda parts: (*parts[0], parts[1]))
junk = st.sets(files, max_size=2)


@st.composite
def orderly(draw: st.DrawFn) -> set[tuple[str, ...]]:
    """A tree in one of the usual orders of folders, sets of one class or both, and a few strange files."""
    classes = draw(st.sampled_from((("0_real", "1_fake"), ("REAL", "Fake"), ("nature", "ai"), ("real", "adm"))))
    order = draw(st.permutations(("split", "set", "class", "part")).map(tuple))
    left_out = draw(st.sets(st.sampled_from(("split", "set", "part"))))
    names = {"split": SPLIT_NAMES[:5], "set": SETS, "class": classes, "part": PARTS}
    slots = [st.sampled_from(names[slot]) for slot in order if slot not in left_out]
    images = st.tuples(*slots, st.sampled_from(FILES[:5]))
    return set(draw(st.sets(images, min_size=1, max_size=12))) | (draw(junk) if draw(st.booleans()) else set())


trees = st.one_of(orderly(), orderly(), orderly(), st.sets(files, min_size=1, max_size=8))
options = st.fixed_dictionaries(
    {
        "layout": st.sampled_from(("pairs", "siblings", "generated")),
        "split": st.sampled_from(("test", "train", "folds")),
    },
    optional={
        "group": st.sampled_from((1, 2, r"video_\d+", "frame")),
        "splits": st.sampled_from(({"train": None}, {"val": "test"}, {"train2017": "train"})),
        "sets": st.sampled_from((["adm"], ["coco"])),
        "classes": st.sampled_from((["adm"], ["midjourney", "coco"])),
        "training_generator": st.just("progan"),
    },
)


def lay(root: Path, tree: set[tuple[str, ...]]) -> set[Path]:
    """Makes the files, empty; names that differ by case alone are two where the file system has two."""
    made = set()
    for parts in sorted(tree):
        file = root.joinpath(*parts)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        except OSError:  # a file is where a folder should be
            continue
        made.add(file)
    return made


def labels_above(root: Path, file: Path, layout: str) -> set[int]:
    """What folders say of an image, outermost first."""
    parts = file.relative_to(root).parts[:-1]
    named = [LABELS[part.lower()] for part in parts if part.lower() in LABELS]
    return set(named[:1]) if named and layout == "pairs" else {0, 1}


@settings(deadline=None, max_examples=120)
@given(trees, trees, options)
def test_every_image_is_read_once_or_passed_over_or_the_tree_refused(
    tree: set[tuple[str, ...]], real: set[tuple[str, ...]], given_options: dict[str, Any]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, coco = Path(folder) / "path", Path(folder) / "coco"
        path.mkdir()
        made = lay(path, tree)
        reals = set()
        if given_options["layout"] == "generated":
            coco.mkdir()
            reals, given_options = lay(coco, real), given_options | {"reals": [str(coco)]}
        module = TreeDataModule(path, **given_options)
        try:
            manifest = module.manifest()
        except PixelProofError as error:
            refused = error
        else:
            refused = None
        if refused is not None:
            assert refused.what
            assert refused.step
            return
        where = [Path(name) for name in manifest.column("where").tolist()]
        assert len(set(where)) == len(where)
        assert set(where) <= made | reals
        passed = set(module.ignored)
        chosen = given_options.keys() & {"sets", "classes"}
        for file in made | reals:
            seen = (file in where) + any(one == file or one in file.parents for one in passed)
            assert seen == 1 or (chosen and not seen), file
        for row, file in enumerate(where):
            check_row(manifest.table.slice(row, 1).to_pylist()[0], file, path if file in made else coco, given_options)


def check_row(row: dict[str, Any], file: Path, root: Path, given_options: dict[str, Any]) -> None:
    """Label, split and generator of one image."""
    parts = [part.lower() for part in file.relative_to(root).parts[:-1]]
    if given_options["layout"] == "generated":
        assert row["label"] == (root.name == "path")
    assert row["label"] in labels_above(root, file, given_options["layout"])
    assert (row["generator"] != "") == (row["label"] == 1)
    given_splits = given_options.get("splits", {})
    known = SPLITS | given_splits
    if "val" in given_splits:
        known |= {"valid": given_splits["val"], "validation": given_splits["val"]}
    said = [known[part] for part in parts if known.get(part)]
    if "bus" in {part.name for one in file.parents if one.is_relative_to(root) for part in one.iterdir()}:
        return  # beside other classes of objects, train is a vehicle
    if said:
        assert row["split"] == said[0]
    elif given_options["split"] != "folds":
        assert row["split"] == given_options["split"]
