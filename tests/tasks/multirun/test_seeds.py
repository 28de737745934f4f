"""The table that closes a ``-m``."""

import json
from pathlib import Path
from statistics import mean, stdev

import pytest

from conf.cli.groups import CONF
from launchers.job import Job
from launchers.local import LocalLauncher
from tasks.multirun import many


def measured(name: str, stage: str, auroc: float, window: int = 0) -> None:
    """Metrics as a task stores them, with some that are not shown."""
    folder = Path("experiments_data") / name / f"window_{window}"
    folder.mkdir(parents=True)
    one = {"kind": "pooled", "generator": "", "metric": "auroc", "at": "", "value": auroc}
    results = [
        one,
        one | {"kind": "generator", "generator": "adm", "value": 0.1},
        one | {"metric": "accuracy", "at": "0.5", "value": 0.2},
        one | {"metric": "accuracy", "at": "validation", "value": auroc / 2},
        one | {"metric": "average_precision", "value": None},
    ]
    (folder / "metrics.json").write_text(json.dumps({stage: results}))


@pytest.fixture(autouse=True)
def _played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(many, "check", lambda composed: [])  # noqa: ARG005

    def launch(_self: object, jobs: list[Job]) -> int:  # noqa: ARG001
        return 0

    monkeypatch.setattr(LocalLauncher, "launch", launch)


def run(*words: str) -> None:
    assert many.run_many(words, CONF, Path("program.py")) == 0


def test_mean_and_deviation_over_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    values = {1: 0.5, 2: 0.625, 7: 0.9375}
    for seed, value in values.items():
        measured(f"x_seed-{seed}", "validate", value)
    run("seed=1,2,7", "experiment_id=x")
    printed = capsys.readouterr().out
    shown = f"{mean(values.values()):.4f} ± {stdev(values.values()):.4f}"
    assert shown in printed
    text = Path("experiments_data/x/seeds.md").read_text()
    assert "| x_seed-7 | 0.9375 | 0.4688 |" in text
    assert f"| mean ± sd of 3 seeds | {shown} |" in text
    assert "average_precision" not in text


def test_means_are_taken_over_seeds_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for epochs, low in ((1, 0.5), (2, 0.75)):
        for seed in (1, 2):
            measured(f"x_seed-{seed}_max_epochs-{epochs}", "test", low + seed / 100)
    run("task=test", "seed=1,2", "trainer.max_epochs=1,2", "experiment_id=x")
    text = Path("experiments_data/x/seeds.md").read_text()
    assert "| mean ± sd of 2 seeds (max_epochs-1) | 0.5150 ± 0.0071 |" in text
    assert "| mean ± sd of 2 seeds (max_epochs-2) | 0.7650 ± 0.0071 |" in text
    assert "test: 4 experiments" in capsys.readouterr().out


def test_the_last_window_counts_and_single_runs_have_no_mean() -> None:
    for epochs in (1, 2):
        measured(f"x_max_epochs-{epochs}", "validate", 0.5)
        measured(f"x_max_epochs-{epochs}", "validate", 0.25 * epochs, window=10)
        measured(f"x_max_epochs-{epochs}", "validate", 0.1, window=9)
    run("trainer.max_epochs=1,2", "experiment_id=x")
    text = Path("experiments_data/x/seeds.md").read_text()
    assert "| x_max_epochs-2 | 0.5000 |" in text
    assert "mean" not in text


def test_nothing_is_invented_where_runs_failed_or_have_no_names(capsys: pytest.CaptureFixture[str]) -> None:
    measured("x_seed-1", "validate", 0.5)
    run("seed=1,2", "experiment_id=x")
    run("seed=1,2")
    assert "experiment_id=NAME" in capsys.readouterr().out
    assert not Path("experiments_data/x/seeds.md").exists()
