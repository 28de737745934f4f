"""Candidates from W&B's server, which is played here by the few things that are asked of ``wandb.Api``."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import wandb
import yaml

from conf.keys.options import CandidatesOptions
from contracts.errors import ConfigError
from launchers.job import Job
from tasks import candidates
from tasks.candidates import rank
from tasks.multirun import past_runs as wandb_runs
from tasks.multirun.past_runs import past_runs

WORDS = ["detector=npr", "trainer.max_epochs=2", "experiment_id=old", "task=fit", "launcher=slurm"]


@dataclass
class PlayedRun:
    """One run of the server, whose history gives those rows that have all keys asked for."""

    name: str
    tags: list[str]
    config: dict[str, Any]
    rows: list[dict[str, float]]
    state: str = "finished"
    summary: dict[str, Any] = field(default_factory=dict)

    def scan_history(self, keys: list[str]) -> Iterator[dict[str, float]]:
        return ({key: row[key] for key in keys} for row in self.rows if set(keys) <= row.keys())


class PlayedApi:
    """Those of its runs that have the tags and the state."""

    def __init__(self, *runs: PlayedRun) -> None:
        self.stored = runs
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def runs(self, path: str, filters: Mapping[str, Any]) -> Iterator[PlayedRun]:
        self.asked.append((path, filters))
        if path != "lab/pixelproof":
            raise ValueError(f"Could not find project {path}")
        tags = [one["tags"] for one in filters.get("$and", [])]
        state = filters.get("state")
        return (run for run in self.stored if set(tags) <= set(run.tags) and state in (None, run.state))


def run(name: str, values: list[tuple[float, float, float]], **given: Any) -> PlayedRun:
    rows: list[dict[str, float]] = []
    for epoch, (auroc, loss, train) in enumerate(values):
        rows += [{"epoch": epoch, "train/loss": train + shift} for shift in (-0.01, 0.01)]  # logged by steps
        rows.append({"epoch": epoch, "val/auroc": auroc, "val/loss": loss})
    return PlayedRun(name, given.pop("tags", ["search"]), given.pop("config", {"command": WORDS}), rows, **given)


@pytest.fixture
def api() -> PlayedApi:
    return PlayedApi(
        run("a/window_0", [(0.90, 0.30, 0.10), (0.95, 0.40, 0.05)]),
        run("b/window_1", [(0.94, 0.20, 0.18)]),
        run("b/window_0", [(0.99, 0.10, 0.10)]),  # of an experiment the last window counts
        run("c/window_0", [(0.99, 0.10, 0.10)], tags=["other"]),
        run("d/window_0", [(0.99, 0.10, 0.10)], state="crashed"),
    )


def test_runs_are_found_by_tag_and_filter_and_ranked_as_folders_are(api: PlayedApi) -> None:
    past = past_runs("lab/pixelproof", ["search"], {"state": "finished"}, "val/auroc", api)
    assert api.asked == [("lab/pixelproof", {"state": "finished", "$and": [{"tags": "search"}]})]
    assert [each.name for each in past] == ["a", "b"]
    assert past[0].epochs[1] == {
        "epoch": 1, "val/auroc": 0.95, "val/loss": 0.40, "train/loss": pytest.approx(0.05),
    }  # fmt: skip
    assert [each.name for each in rank(past, "val/auroc", 0.0)] == ["a", "b"]
    assert [each.name for each in rank(past, "val/auroc", 0.1)] == ["b", "a"]
    assert rank(past, "val/auroc", 0.0)[0].gap == pytest.approx(0.35)


def test_what_the_server_cannot_give_is_reported(api: PlayedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="Could not find project lab/other"):
        past_runs("lab/other", [], {}, "val/auroc", api)
    with pytest.raises(ConfigError, match="no run matches"):
        past_runs("lab/pixelproof", ["nothing"], {}, "val/auroc", api)
    monkeypatch.setattr(wandb_runs, "has_key", lambda: False)
    with pytest.raises(ConfigError, match="no key is set"):
        past_runs("lab/pixelproof", [], {}, "val/auroc")


def test_the_best_are_retrained_with_the_words_w_and_b_keeps(
    api: PlayedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wandb_runs, "has_key", lambda: True)
    monkeypatch.setattr(wandb, "Api", lambda: api)
    launched: list[tuple[str, ...]] = []

    class Played:
        def __init__(self, *_: Any) -> None:
            pass

        def launch(self, jobs: list[Job]) -> int:
            launched.extend(job.words for job in jobs)
            for job in jobs:
                if "task=test" not in job.words:
                    stage = Path("experiments_data") / job.words[-1].partition("=")[2] / "window_0"
                    (stage / "checkpoints").mkdir(parents=True)
                    found = [{"epoch": 0, "val/auroc": 0.5 + ("b_full" in str(stage)) / 4}]
                    (stage / "checkpoints/history.json").write_text(json.dumps(found))
                    lock = {"command": list(job.words), "config": {"logger": {}}}
                    (stage.parent / "config.lock.yaml").write_text(yaml.safe_dump(lock))
            return 0

    monkeypatch.setattr(candidates, "LocalLauncher", Played)

    class Asked:
        candidates = CandidatesOptions(
            wandb="lab/pixelproof",
            tags=["search"],
            filters={"state": "finished"},
            top=2,
            retrain=True,
            words=["datamodule.path=full.h5"],
        )
        folder = Path("experiments_data/final")

    assert candidates.candidates(SimpleNamespace(config=Asked, folder=Asked.folder)) == 0  # type: ignore[arg-type]
    common = ("detector=npr", "trainer.max_epochs=2", "datamodule.path=full.h5")
    assert launched == [
        (*common, "experiment_id=a_full"), (*common, "experiment_id=b_full"), ("task=test", "experiment_id=b_full"),
    ]  # fmt: skip
    assert json.loads(Path("experiments_data/final/candidates.json").read_text())["kept"] == "b_full"
    api.stored[0].config.clear()  # of a run that was not ours
    with pytest.raises(ConfigError, match="candidate a: neither"):
        candidates.candidates(SimpleNamespace(config=Asked, folder=Asked.folder))  # type: ignore[arg-type]
