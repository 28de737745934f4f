"""Every command of docs/start.md and of docs/jobs/ is run as it is written, on a few images and two batches."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from forked import Commands
from PIL import Image
from test_docs import PROGRAM

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / "start.md", *sorted((ROOT / "docs" / "jobs").glob("*.md"))]
MARKED = re.compile(r"<!-- needs .*? -->\n```sh\n.*?^```$", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHORT = {
    "fit": ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer=cpu", "datamodule.batch_size=4"],
    "prepare": ["prepare.workers=1", "prepare.limit=80"],
    "explore": ["explore.images=20"],
    "threshold": ["threshold.fpr=0.5"],
}
"""What a test adds to a command of a page."""


def commands(page: str) -> list[list[str]]:
    """The words of each command of blocks that are not marked as needing something."""
    blocks = BLOCK.findall(MARKED.sub("", page))
    lines = [line for block in blocks for line in re.findall(PROGRAM, block.replace("\\\n", " "), re.MULTILINE)]
    return [shlex.split(line, comments=True) for line in lines]


def short(words: list[str]) -> list[str]:
    task = next((word.partition("=")[2] for word in words if word.startswith("task=")), None)
    return [*words, *SHORT.get(task or "", [])]


@pytest.fixture(scope="module")
def home(zygote: Commands, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A folder with what the pages speak of, and the detector that the first page trains."""
    zygote.folder = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        image = Image.fromarray(rng.integers(0, 256, (144, 160, 3), dtype=np.uint8))
        folder = zygote.folder / "tree" / ("real" if number % 2 else "fake")
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{number}.png")
        rows.append({"id": number, "image": (folder / f"{number}.png").read_bytes(), "label": 1 - number % 2})
    (zygote.folder / "photos").mkdir()
    (zygote.folder / "aiornot").mkdir()
    image.save(zygote.folder / "photos" / "holiday.jpg")
    pq.write_table(pa.Table.from_pylist(rows), zygote.folder / "aiornot" / "train.parquet")
    for number, words in enumerate(commands(PAGES[0].read_text())):
        zygote.run(f"start_{number}", short(words))
    return zygote


def test_the_first_page_ends_with_a_detector_and_a_page(home: Commands) -> None:
    assert (home.folder / "experiments_data" / "demo" / "review" / "index.html").is_file()
    assert (home.folder / "models" / "demo.ckpt").is_file()


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(home: Commands, page: Path, tmp_path: Path) -> None:
    for name in ("experiments_data", "models", "photos", "tree", "aiornot"):
        shutil.copytree(home.folder / name, tmp_path / name)
    home.folder, before = tmp_path, home.folder
    try:
        for number, words in enumerate(commands(page.read_text())):
            home.run(f"{page.stem}_{number}", short(words))
    finally:
        home.folder = before


def test_only_marked_blocks_are_left_out() -> None:
    assert commands("```sh\npixelproof a=1 \\\n  b\n```\n<!-- needs X -->\n```sh\npixelproof c\n```\n") == [
        ["a=1", "b"]
    ]
    assert [page.stem for page in PAGES if not commands(page.read_text())] == ["ai_genbench"]
