"""The same images as real and as generated give an AUROC of one half, through every data module and benchmark.

Whatever else tells them apart (sizes, views, other sets' real images, lost or doubled images) would show here in a
table. A new file of ``conf/datamodule`` or ``conf/benchmark`` is covered at once: it needs a layout in `identical`.
"""

import csv
import json
from functools import partialmethod
from pathlib import Path
from typing import Any

import identical
import numpy as np
import pytest
import torch

import datamodules.sample
import tasks.test
from benchmarks.ai_genbench.images.chain import AiGenBenchChain
from benchmarks.ai_genbench.protocol.seeds import ItemSeeds, fixed_seeds
from benchmarks.comparison.compare import compare
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import read_predictions
from benchmarks.review import review
from conf.compose import compose
from contracts.batch import Batch, as_unit_float
from contracts.errors import ConfigError, DataError
from contracts.view import View
from datamodules.deliveries.cache import Delivered
from datamodules.photographs import PhotographsDataModule
from detectors.base import Detector, Scores
from tasks.experiment.run import Run
from tasks.scoring.evaluate import Loaded

CONF = Path(__file__).parents[1] / "conf"
MODULES = sorted(file.stem for file in (CONF / "datamodule").glob("*.yaml"))
BENCHMARKS = sorted(file.stem for file in (CONF / "benchmark").glob("*.yaml"))
NOT_FOR = {"forensynths_tables": {"tracer"}, "ai_genbench": set(MODULES) - {"ai_genbench"}}
"""Data modules whose sets or generators a benchmark does not know, which it must say."""


class Fixed(Detector):
    """No weights: a logit of an image's mean, its edges and, above all, its size; exact whatever the batch."""

    def __init__(self, view: View) -> None:
        super().__init__(View(), view, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
        self.net = torch.nn.Linear(1, 1)  # a detector has one; this makes no use of it

    def loss(self, batch: Batch) -> torch.Tensor:
        raise NotImplementedError

    def score(self, batch: Batch) -> Scores:
        x = as_unit_float(batch.images).double()
        edges = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
        size = np.log2(x.shape[-1] * x.shape[-2])
        return Scores((x.mean((1, 2, 3)) + 3 * edges + size / 4 - 3).mul(2**16).round().div(2**16).float())


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, benchmark: str) -> None:
    """The detector of every test, and few draws for intervals."""
    (tmp_path / "fixed.ckpt").write_bytes(b"")
    view = View() if benchmark == "ai_genbench" else View(crop=20)  # the former gives crops of its own
    loaded = Loaded(Fixed(view), tmp_path / "fixed.ckpt", "", {"threshold": {"value": 0.4}, "seen_generators": ["ADM"]})
    monkeypatch.setattr(tasks.test, "load_detector", lambda *_: loaded)
    monkeypatch.setattr(Bootstrap, "__init__", _few)
    monkeypatch.setattr(AiGenBenchChain, "seeds", _by_image)
    monkeypatch.setattr(Delivered, "__call__", partialmethod(_delivered_by_content, Delivered.__call__))
    monkeypatch.chdir(tmp_path)


def _delivered_by_content(self: Delivered, deliver: Any, image: torch.Tensor, _: np.random.Generator) -> torch.Tensor:
    return deliver(self, image, np.random.default_rng(int(image.long().sum())))


def _by_image(chain: AiGenBenchChain, row: int) -> ItemSeeds:
    """Seeds of the image's content: elsewhere each file has its own, and equal images would differ afterwards."""
    return fixed_seeds(chain.ids[row].split("/")[-1], 0, chain.options.base_seed)


def _few(self: Bootstrap, resamples: int = 20, seed: int = 0, level: float = 0.95) -> None:  # noqa: ARG001
    for name, value in (("resamples", 20), ("seed", seed), ("level", level)):
        object.__setattr__(self, name, value)


def areas(folder: Path) -> dict[tuple[str, ...], float]:
    """Every AUROC in an experiment's files and in those of its page: (file, row) to value."""
    found: dict[tuple[str, ...], float] = {}
    for file in sorted(folder.rglob("*.csv")):
        with file.open(newline="") as text:
            for row in csv.DictReader(text):
                if row.get("metric") == "auroc" and row["value"]:
                    place = (row.get(k) or "" for k in ("dump", "delivery", "kind", "generator", "set"))
                    found[str(file), *place] = float(row["value"])
    for file in folder.glob("ai_genbench.json"):
        for name, run in json.loads(file.read_text()).items():
            for stage in run["stages"]:
                for period, metrics in stage["periods"].items():
                    found[str(file), name, period] = metrics["roc_auc"]
                for window, value in enumerate(stage["auroc_per_window"]):
                    if value is not None:
                        found[str(file), name, str(window)] = value
    return found


def test_every_data_module_has_a_layout() -> None:
    assert set(MODULES) == set(identical.LAYOUTS) | identical.REAL_ALONE


@pytest.mark.parametrize("benchmark", BENCHMARKS)
@pytest.mark.parametrize("module", sorted(set(MODULES) - identical.REAL_ALONE))
@pytest.mark.usefixtures("fixed")
@pytest.mark.filterwarnings("ignore")
def test_identical_images(benchmark: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(datamodules.sample, "CORPUS", tmp_path / "data")
    words = identical.LAYOUTS[module](tmp_path / "data")
    if benchmark == "robustness":
        words = [*words, "benchmark.deliveries=[jpeg-50,resize-0.75,noise-5]"]
    run = Run(
        compose(
            ["task=test", f"datamodule={module}", f"benchmark={benchmark}", "ckpt=fixed.ckpt", "trainer=cpu",
             "experiment_id=e", "trainer.enable_progress_bar=false", *words]
        )
    )  # fmt: skip
    if module in NOT_FOR.get(benchmark, set()):
        with pytest.raises((DataError, ConfigError)):
            tasks.test.test(run)
        return
    tasks.test.test(run)
    dump = read_predictions(run.folder / "window_0/predictions_test_all.npz")
    assert set(dump.fused_labels.tolist()) == {0, 1}
    made = review([run.folder / "window_0/predictions_test_all.npz"], run.folder / "page", max_images=0)
    found = areas(run.folder)
    assert {Path(key[0]).name for key in found} >= {"metrics_test.csv", "metrics.csv"}
    if benchmark == "forensynths_tables":
        assert any(Path(key[0]).parent.name == "tables" for key in found)
    if benchmark == "ai_genbench":
        assert any(key[0].endswith(".json") for key in found)
    if benchmark == "robustness":
        assert {key[2] for key in found} >= {"clean", "jpeg-50", "resize-0.75", "noise-5"}
    assert {key: value for key, value in found.items() if value != 0.5} == {}
    for name, table in made.tables.items():
        assert ".500" in table.markdown() or "0.500" in table.markdown(), name
    both: Any = compare([dump, dump], ["a", "b"])
    assert {run[key] for run in both.values for key in run if key[1] == "auroc"} <= {0.5}


def test_photographs_hold_no_generated_images(tmp_path: Path) -> None:
    identical.files(tmp_path, "train", "valid")
    manifest = PhotographsDataModule(tmp_path / "train", tmp_path / "valid").manifest()
    assert set(manifest.labels.tolist()) == {0}
