"""Every command of the documentation is run as it is written, on a few images and two batches.

A block of commands that cannot be run here is marked in its page: ``<!-- needs WHAT -->`` in the line before it.
"""

import os
import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from forked import Commands
from PIL import Image
from test_docs import PAGES as DOCUMENTED
from test_docs import PROGRAM, SHELL, blocks, filled_in

from pixelproof import load

ROOT = Path(__file__).parents[1]
START = ROOT / "docs" / "start.md"
ELSEWHERE = ("adding.md",)
"""Whose commands need its own files: test_adding.py runs them."""
PAGES = [page for page in DOCUMENTED if page.name not in ELSEWHERE]
MARKED = re.compile(r"<!-- needs .*? -->\n```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)
SHORT = {
    "fit": ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer=cpu", "datamodule.batch_size=4"],
    "prepare": ["prepare.workers=1", "prepare.limit=80"],
    "explore": ["explore.images=20"],
    "threshold": ["threshold.fpr=0.5"],
    "export": ["export.images=4"],
    "guess": ["guess.images=10"],
    "benchmark=robustness": ["benchmark.deliveries=[jpeg-50]"],
    "audit.out=bias": ["audit.deliveries=[jpeg-50]"],
}
"""What a test adds to a command of a page, by its task or one of its words."""
INSTEAD = {"calibrate.method=platt": "calibrate.method=shift"}
"""What the scores of a detector trained on two batches allow."""
TESTED = {"trust": ("npr", "rine", "zed"), "zoo": ("npr",)}
"""Experiments that a page speaks of as tested; copies of the first page's stand for them."""
PLACES = (
    *(f"{split}/{kind}" for split in ("train", "val") for kind in ("car", "cat", "chair", "horse")),
    "test/biggan",
    "test/progan",
)
STAYING = ("serve", "guess")
"""Tasks that end with Ctrl-C."""


def commands(page: str) -> list[list[str]]:
    """The words of each command of blocks that are not marked as needing something."""
    shown = [filled_in(text) for language, text in blocks(MARKED.sub("", page)) if language in SHELL]
    lines = [line for text in shown for line in re.findall(PROGRAM, text.replace("\\\n", " "), re.MULTILINE)]
    return [shlex.split(line, comments=True) for line in lines]


def task(words: list[str]) -> str:
    """The task of a command, "" if it has none of its own."""
    if words[0] in ("look", "models") or any(word.startswith("--") for word in words):
        return ""
    return next((word.partition("=")[2] for word in words if word.startswith("task=")), "fit")


def short(words: list[str]) -> list[str]:
    return [*words, *SHORT.get(task(words), []), *SHORT.get(next(iter({*words} & {*SHORT}), ""), [])]


def run(home: Commands, name: str, words: list[str]) -> None:
    """Runs a command, whose data are below the home; one that stays is stopped once it has an address."""
    here = [INSTEAD.get(word, word.replace("=/data/", f"={home.folder}/mnt/")) for word in words]
    if task(words) in ("test", "audit") and "datamodule=sample" in here:  # the same images, but fewer
        here[here.index("datamodule=sample")] = "datamodule=hdf5"
        here.append(f"datamodule.path={home.folder}/data.h5")
    if task(words) not in STAYING:
        home.run(name, short(here))
        return
    pid = home.start(name, short(here))
    while "http://" not in home.printed(name):
        assert not home.ended(), home.printed(name)
        time.sleep(0.05)
    os.kill(pid, signal.SIGINT)
    assert home.wait() in (0, 130), home.printed(name)


@pytest.fixture(scope="module")
def home(zygote: Commands, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A folder with what the pages speak of, and the detector that the first page trains."""
    folder = zygote.folder = tmp_path_factory.mktemp("home")
    _images(folder)
    for number, words in enumerate(commands(START.read_text())):
        run(zygote, f"start_{number}", words)
    torch.save(load(folder / "models" / "demo.ckpt").loaded.detector.net.state_dict(), folder / "NPR.pth")
    for name in ("best", "a", "b"):
        shutil.copy(folder / "models" / "demo.ckpt", folder / f"{name}.ckpt")
    shutil.move(folder / "experiments_data" / "demo" / "data.h5", folder / "data.h5")
    (folder / "experiments_data" / "demo" / "data.h5").symlink_to(folder / "data.h5")
    return zygote


def _images(folder: Path) -> None:
    """Photographs, a tree and a Parquet file of both classes, and the trees of two published data sets."""
    rng = np.random.default_rng(0)
    rows = []
    for name in ("photos", "aiornot"):
        (folder / name).mkdir()
    for number in range(24):
        image = Image.fromarray(rng.integers(0, 256, (144, 160, 3), dtype=np.uint8))
        kind, ending = ("real", "jpg") if number % 2 else ("fake", "png")
        file = folder / "tree" / kind / f"{number}.{ending}"
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)
        rows.append({"id": number, "image": file.read_bytes(), "label": 1 - number % 2})
        for place in PLACES if number < 2 else ():
            here = folder / "mnt" / "ForenSynths" / place / ("0_real" if number % 2 else "1_fake")
            here.mkdir(parents=True, exist_ok=True)
            image.save(here / "7.png")
    image.save(folder / "photos" / "holiday.jpg")
    image.save(folder / "photo.jpg")
    shutil.copytree(folder / "mnt" / "ForenSynths" / "test", folder / "mnt" / "Generalization_Test" / "test")
    pq.write_table(pa.Table.from_pylist(rows), folder / "aiornot" / "train.parquet")
    shutil.copytree(folder / "aiornot", folder / "data")
    table = pd.DataFrame({"path": sorted(str(file) for file in (folder / "tree").rglob("*.*"))})
    table["label"] = table["path"].str.contains("fake").astype(int)
    table["split"] = [("train", "valid")[number % 2] for number in range(24)]
    table.assign(score=rng.random(24)).to_csv(folder / "real_and_generated.csv", index=False)
    shutil.copy(folder / "real_and_generated.csv", folder / "table.csv")


def test_the_first_page_ends_with_a_detector_and_a_page(home: Commands) -> None:
    assert (home.folder / "experiments_data" / "demo" / "review" / "index.html").is_file()
    assert (home.folder / "models" / "demo.ckpt").is_file()


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page != START and commands(page.read_text())],
    ids=lambda page: page.stem,
)
def test_the_commands_of_a_page_run(home: Commands, page: Path, tmp_path: Path) -> None:
    shutil.copytree(home.folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    for name in TESTED.get(page.stem, ()):
        shutil.copytree(tmp_path / "experiments_data" / "demo", tmp_path / "experiments_data" / name, symlinks=True)
    home.folder, before = tmp_path, home.folder
    try:
        for number, words in enumerate(commands(page.read_text())):
            run(home, f"{page.stem}_{number}", words)
    finally:
        home.folder = before


def test_only_marked_blocks_are_left_out() -> None:
    assert commands("```sh\npixelproof a=1 \\\n  b\n```\n<!-- needs X -->\n```sh\npixelproof c\n```\n") == [
        ["a=1", "b"]
    ]
    left = {page.stem: [words for words in commands(page.read_text()) if "…" in " ".join(words)] for page in PAGES}
    assert {page: words for page, words in left.items() if words} == {}
