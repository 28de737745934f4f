"""A folder of any files: each is scored, or listed with its reason; and pixels alone decide which."""

import contextlib
import csv
import tempfile
from pathlib import Path
from typing import Any

import composed
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.compose import compose
from contracts.errors import DataError
from contracts.view import View
from detectors.npr.detector import NPR
from tasks.experiment.run import Run
from tasks.predict import predict
from tasks.scoring.score_frame import LEADING

SUFFIX = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
WORDS = [
    "task=predict", "detector=npr", "detector.eval_view.resize=null", "datamodule=folder", "experiment_id=p",
    "trainer=cpu",
    "+trainer.enable_progress_bar=false", "trainer.enable_model_summary=false",
]  # fmt: skip


@st.composite
def folders(draw: Any) -> list[tuple[str, bytes, bytes]]:
    """Names of files, what they hold, and the same without metadata; b"" where nothing can be scored."""
    found = []
    for number, (form, data, plain) in enumerate(draw(st.lists(composed.files(), min_size=1, max_size=4))):
        found.append((f"{number}.{SUFFIX[form]}", data, plain))
        if draw(st.booleans()):
            found.append((f"{number} damaged.{SUFFIX[form]}", plain[: draw(st.integers(1, len(plain) // 2))], b""))
    return found


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "npr.pth"
    torch.save(NPR(View(), View()).net.state_dict(), file)
    return file


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def scores(folder: Path, files: dict[str, bytes], weights: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Scores, and reasons, by name."""
    (folder / "images").mkdir(parents=True)
    for name, data in files.items():
        (folder / "images" / name).write_bytes(data)
    with contextlib.chdir(folder), contextlib.suppress(DataError):  # where no image of the folder can be scored
        predict(Run(compose([*WORDS, f"ckpt={weights}", "datamodule.path=images"])))
    out = folder / "experiments_data/p"
    rows = table(out / "predictions.csv") if (out / "predictions.csv").is_file() else []
    assert all(tuple(row)[: len(LEADING)] == LEADING for row in rows)
    failed = table(out / "failures.csv") if (out / "failures.csv").is_file() else []
    reasons = {row["id"]: row["reason"] for row in failed}
    assert not rows or {row["id"]: row["error"] for row in rows if row["error"]} == reasons
    return {row["id"]: float(row["score"]) for row in rows if not row["error"]}, reasons


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=5)
@given(files=folders())
def test_every_file_is_scored_or_listed(files: list[tuple[str, bytes, bytes]], weights: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found, failed = scores(folder / "with", {file: data for file, data, _ in files}, weights)
        expected, _ = scores(folder / "without", {file: plain for file, _, plain in files if plain}, weights)
    assert found.keys() | failed.keys() == {file for file, _, _ in files}
    assert not found.keys() & failed.keys()
    assert failed.keys() == {file for file, _, plain in files if not plain}
    assert all(failed.values())
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_notes_say_what_was_passed_over(tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = composed.encoded(composed.image(0), "PNG")
    odd = composed.png_with(plain, composed.chunk(b"tEXt", b"a\0b", crc=1))
    scores(tmp_path, {"plain.png": plain, "odd.png": odd, "dot.png": plain[:40]}, weights)
    told = {row["id"]: row for row in table(tmp_path / "experiments_data/p/predictions.csv")}
    assert told["odd.png"]["note"] == "PNG chunk tEXt has a wrong CRC"
    assert told["plain.png"]["note"] == ""
    assert told["odd.png"]["score"] == told["plain.png"]["score"]
    assert told["dot.png"]["error"]
    assert (tmp_path / "experiments_data/p/summary.json").is_file()
    printed = capsys.readouterr().out
    assert "1 image with damaged metadata, which affects no pixel" in printed
    assert "1 image could not be read; see experiments_data/p/failures.csv for the reason\n" in printed
