"""docs/adding.md, done as it says: its files written into a copy of the house, its commands run there."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic
import torch
from PIL import Image

from conf.cli.groups import group_options

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/adding.md"
ROOMS = ("contracts", "conf", "launchers", "tasks", "benchmarks", "datamodules", "detectors", "callbacks")

RUNNER = """
import shlex, sys
from lightning_main import main
for line in sys.stdin.read().splitlines():
    print("$", line, flush=True)
    code = main([*shlex.split(line)[1:], "trainer.enable_progress_bar=false"])
    print("->", code, flush=True)
    if code:
        sys.exit(code)
"""


def blocks(page: str) -> tuple[dict[str, str], list[str]]:
    """The page's files by name, and its command lines."""
    found = re.findall(r"(?:^`([\w/]+\.\w+)`\n\n)?^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    files = {name: text for name, kind, text in found if kind in ("python", "yaml")}
    return files, [line for _, kind, text in found if kind == "sh" for line in text.splitlines()]


FILES, COMMANDS = blocks(PAGE.read_text())
COLOURED = (
    "pixelproof experiment=edges trainer=cpu trainer.max_epochs=2 experiment_id=coloured detector.train_view.augment=[]"
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the house with the page's files, in which all of the page's commands were run."""
    copy = tmp_path_factory.mktemp("house")
    for room in ROOMS:
        left_out = shutil.ignore_patterns(
            "__pycache__", "sample_corpus", "default.yaml" if room == "conf/local" else ""
        )
        shutil.copytree(ROOT / room, copy / room, ignore=left_out)
    (copy / "datamodules/sample_corpus").symlink_to(ROOT / "datamodules/sample_corpus")
    shutil.copy(ROOT / "lightning_main.py", copy)
    for name, text in FILES.items():
        assert not (copy / name).exists(), f"{name} is there already: choose another name on the page"
        (copy / name).write_text(text)
    rng = np.random.default_rng(0)
    for k in range(60):
        file = copy / "images" / ("camera" if k % 2 else f"generated/maker-{k % 4}") / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(synthetic.picture(rng, 72, not k % 2)).save(file)
    words = [sys.executable, "-c", RUNNER]
    done = subprocess.run(
        words, input="\n".join([*COMMANDS, COLOURED]), capture_output=True, text=True, check=False, cwd=copy
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (copy / "printed").write_text(done.stdout)
    return copy


def numbers(house: Path, experiment: str, stage: str) -> list[dict[str, Any]]:
    with (house / f"experiments_data/{experiment}/window_0/metrics_{stage}.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_page_has_what_it_promises() -> None:
    assert {"detectors", "datamodules", "benchmarks", "conf"} == {name.partition("/")[0] for name in FILES}
    assert len(FILES) == 10
    assert len(COMMANDS) == 7
    assert all(command.startswith("pixelproof ") for command in COMMANDS)


def test_a_detector_trains_and_is_tested(house: Path) -> None:
    (auroc,) = [r for r in numbers(house, "edges", "test") if (r["kind"], r["metric"]) == ("pooled", "auroc")]
    assert 0 <= float(auroc["value"]) <= 1
    assert {int(auroc["real"]), int(auroc["generated"])} == {49, 67}


def test_its_extras_are_columns_of_the_dump(house: Path) -> None:
    with np.load(house / "experiments_data/edges/window_0/predictions_test_all.npz", allow_pickle=False) as dump:
        assert dump["extra_energy"].shape == dump["fused_scores"].shape == (116,)
        assert len(dump["crop_scores"]) == 5 * 116


def test_a_data_set_is_trained_on(house: Path) -> None:
    generators = {r["generator"] for r in numbers(house, "folders", "validate") if r["kind"] == "generator"}
    assert generators <= {"maker-0", "maker-2"}
    assert generators


def test_a_protocol_leaves_generators_unseen(house: Path) -> None:
    kinds = {r["kind"] for r in numbers(house, "unseen", "test")}
    assert {"seen", "unseen"} <= kinds
    trained = {r["generator"] for r in numbers(house, "unseen", "validate") if r["kind"] == "generator"}
    assert trained
    assert not trained & {"dcgan-face64", "style-26"}


def test_a_metric_has_its_column_and_its_interval(house: Path) -> None:
    (j,) = [
        r
        for r in numbers(house, "mine", "test")
        if (r["kind"], r["metric"], r["at"]) == ("pooled", "youden", "validation")
    ]
    others = {
        r["metric"]: float(r["value"])
        for r in numbers(house, "mine", "test")
        if r["kind"] == "pooled" and r["at"] == "validation"
    }
    assert float(j["value"]) == pytest.approx(others["recall"] + others["specificity"] - 1)
    assert float(j["low"]) <= float(j["value"]) <= float(j["high"])
    head = (house / "experiments_data/mine/window_0/metrics_test.md").read_text().splitlines()[0]
    assert "youden @ val." in head


def test_an_augmentation_changes_what_is_learnt(house: Path) -> None:
    weights = [
        torch.load(house / f"experiments_data/{name}/window_0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("mine", "coloured")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert not any(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_fusion_makes_the_scores(house: Path) -> None:
    with np.load(house / "experiments_data/mine/window_0/predictions_test_all.npz", allow_pickle=False) as dump:
        crops = dump["crop_logits"].reshape(-1, 5)
        np.testing.assert_allclose(dump["fused_logits"], np.median(crops, 1), rtol=1e-6)


def test_every_option_stands_in_the_docs() -> None:
    text = "".join(file.read_text() for file in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"])
    named = set(re.findall(r"`(\w+)`", text)) | set(re.findall(r"\b(?:detector|datamodule|benchmark)=(\w+)", text))
    absent = [
        (group, name)
        for group in ("detector", "datamodule", "benchmark")
        for name in group_options(group)
        if name not in named
    ]
    assert absent == [], "add a line to the table of docs/adding.md"
