"""Searches without a server, and what is made of their runs; the runs themselves are played by a short program."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from conf.keys.options import CandidatesOptions, SweepOptions
from conf.keys.schema import Config
from conf.sweeps import read_sweep
from contracts.errors import ConfigError
from tasks import candidates
from tasks.candidates import found, rank
from tasks.experiment.run import find_experiment_id
from tasks.multirun import local as sweep_local
from tasks.multirun import wandb as sweep_wandb

pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'pixelproof[sweep]'")

SEARCH = """
program: lightning_main.py
method: {method}
metric: {{name: val/loss, goal: minimize}}
run_cap: 6
command: ["${{env}}", "${{interpreter}}", "${{program}}", datamodule=sample, "${{args_no_hyphens}}"]
parameters:
  detector.optimizer.lr: {lr}
  trainer.max_epochs: {{values: [2, 3]}}
  trainer.gradient_clip_val: {{values: ["null", 1.0]}}
"""
LOG = "{distribution: log_uniform_values, min: 1.0e-4, max: 1.0}"

PLAYED = """
import json, math, os, signal, sys, time
from pathlib import Path
words = dict(word.split("=", 1) for word in sys.argv[1:])
with open("played.jsonl", "a") as file:
    file.write(json.dumps(words | {"env": {k: v for k, v in os.environ.items() if k.startswith("WANDB_")}}) + "\\n")
if words["task"] == "test" if "task" in words else False:
    sys.exit(0)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
stage = Path("experiments_data") / words["experiment_id"] / "window_0"
(stage / "checkpoints").mkdir(parents=True, exist_ok=True)
lr = float(words["detector.optimizer.lr"])
epochs = []
for epoch in range(int(words["trainer.max_epochs"])):
    loss = abs(math.log10(lr) + 2) + 1 / (epoch + 1)
    epochs.append({"epoch": epoch, "step": epoch, "val/loss": loss, "train/loss": loss / 2})
    (stage / "checkpoints/history.new").write_text(json.dumps(epochs))
    os.replace(stage / "checkpoints/history.new", stage / "checkpoints/history.json")
    time.sleep(float(os.environ.get("SECONDS_AN_EPOCH", "0")))
lock = {"command": [f"{k}={v}" for k, v in words.items()], "config": {"logger": {}}}
(stage.parent / "config.lock.yaml").write_text(json.dumps(lock))
(stage / "done").touch()
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "lightning_main.py").write_text(PLAYED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sweep_local, "ROOT", tmp_path)
    monkeypatch.setattr(candidates, "PROGRAM", tmp_path / "lightning_main.py")
    return tmp_path


def looking(workspace: Path, seed: int = 1, **options: Any) -> sweep_local.LocalSearch:
    sweep = read_sweep(workspace / "search.yaml")
    return sweep_local.LocalSearch(sweep, SweepOptions(**options), Path("experiments_data/found"), seed)


def search(
    workspace: Path, method: str = "random", lr: str = LOG, seed: int = 1, **options: Any
) -> sweep_local.LocalSearch:
    (workspace / "search.yaml").write_text(SEARCH.format(method=method, lr=lr))
    return looking(workspace, seed, **options)


def played(workspace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workspace / "played.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("method", "lr", "count"), [("random", LOG, 6), ("bayes", LOG, 6), ("grid", "{values: [0.1]}", 4)]
)
def test_a_search_runs_and_continues(
    method: str, lr: str, count: int, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(workspace, method, lr, runs=2, workers=2).run() == 0
    assert search(workspace, method, lr, runs=None if method == "random" else count).run() == 0
    runs = played(workspace)
    assert sorted(run["experiment_id"] for run in runs) == [f"found_{number:03d}" for number in range(count)]
    assert {run["trainer.gradient_clip_val"] for run in runs} <= {"null", "1.0"}
    assert all(run["launcher"] == "null" and run["datamodule"] == "sample" for run in runs)
    if method != "grid":
        assert len({run["detector.optimizer.lr"] for run in runs}) == count  # a restart draws nothing twice
    else:
        pairs = {(run["trainer.max_epochs"], run["trainer.gradient_clip_val"]) for run in runs}
        assert len(pairs) == 4
    names = sorted(run["experiment_id"] for run in runs)
    best = min(names, key=lambda name: read(workspace, name))  # of equal ones the first, not the first that began
    assert f"best: experiment_id={best}" in capsys.readouterr().out


def read(workspace: Path, name: str) -> float:
    history = json.loads((workspace / f"experiments_data/{name}/window_0/checkpoints/history.json").read_text())
    return float(min(entry["val/loss"] for entry in history))


def test_poor_runs_are_ended_early(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert search(workspace, lr="{min: 0.01, max: 0.01}", pruner="median", runs=4).run() == 0
    monkeypatch.setenv("SECONDS_AN_EPOCH", "600")  # not ended early, it would still be in its first epoch
    looking = search(workspace, lr="{min: 1.0, max: 1.0}", pruner="median", runs=5)
    assert looking.run() == 0
    states = {trial.state.name for trial in looking.study.trials}
    assert states == {"COMPLETE", "PRUNED"}


def test_a_search_that_was_stopped_takes_its_runs_up_again(workspace: Path) -> None:
    (workspace / "search.yaml").write_text(SEARCH.format(method="random", lr=LOG))
    code = (
        f"import sys; sys.path.insert(0, {str(Path(sweep_local.__file__).parents[2])!r})\n"
        "from pathlib import Path\n"
        "from conf.keys.options import SweepOptions\nfrom conf.sweeps import read_sweep\n"
        "from contracts.process.stop import STOP, Stopped\n"
        f"from tasks.multirun import local as sweep_local; sweep_local.ROOT = Path({str(workspace)!r})\n"
        "looking = sweep_local.LocalSearch(read_sweep(Path('search.yaml')), SweepOptions(runs=2), "
        "Path('experiments_data/found'), 1)\n"
        "with STOP.handled(deferred=False):\n"
        "    try:\n        looking.run()\n"
        "    except Stopped:\n        sys.exit(143)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=workspace, env=os.environ | {"SECONDS_AN_EPOCH": "600"}
    )
    limit = time.monotonic() + 300
    while not (workspace / "experiments_data/found_000/window_0/checkpoints/history.json").exists():
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 143
    assert search(workspace, runs=2).run() == 0
    first, again, second = played(workspace)
    assert first == again
    assert second["experiment_id"] == "found_001"


def test_workers_may_begin_a_study_at_the_same_moment(workspace: Path) -> None:
    """As the jobs of an array do."""
    (workspace / "search.yaml").write_text(SEARCH.format(method="grid", lr="{values: [0.1]}"))
    context: Any = multiprocessing.get_context("fork")
    for number in range(3):
        begin = context.Barrier(4)

        def begun(seed: int, begin: Any = begin, study: str = f"s{number}/study.db") -> None:
            begin.wait(300)
            looking(workspace, seed, study=study)

        workers = [context.Process(target=begun, args=(seed,)) for seed in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(300)
        assert [worker.exitcode for worker in workers] == [0] * 4
        study = looking(workspace, study=f"s{number}/study.db").study
        assert len(study.trials) == 4  # each pair of values waits once


def test_wandbs_own_words_reach_the_program_and_come_back(workspace: Path) -> None:
    """What an agent does, but for the server: its argument builder, a process, the metric read back; three times."""
    (workspace / "search.yaml").write_text(SEARCH.format(method="random", lr=LOG))
    raw = yaml.safe_load((workspace / "search.yaml").read_text())
    sweep = read_sweep(workspace / "search.yaml")
    losses = []
    for number in range(3):
        values = {parameter.key: parameter.sample(number) for parameter in sweep.parameters}
        words = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
        env = os.environ | {"WANDB_MODE": "offline", "WANDB_SWEEP_ID": "s", "WANDB_RUN_ID": f"run{number}"}
        assert find_experiment_id(env) == f"run{number}"
        command = []
        for part in create_sweep_command(list(raw["command"])):
            replaced = {"${env}": [], "${interpreter}": [sys.executable], "${program}": [raw["program"]]}
            command += replaced.get(part, words["args_no_hyphens"] if part == "${args_no_hyphens}" else [part])
        subprocess.run([*command, f"experiment_id=run{number}"], check=True, cwd=workspace, env=env)
        losses.append(read(workspace, f"run{number}"))
    assert losses[2] < losses[0]  # the middle of the range is where the played loss is least
    assert played(workspace)[1]["env"]["WANDB_SWEEP_ID"] == "s"


def test_agents_get_the_whole_command(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace / "search.yaml").write_text(SEARCH.format(method="random", lr=LOG))
    sweep = read_sweep(workspace / "search.yaml")
    options = SweepOptions(words=["datamodule.path=x"], workers=2, runs=5)
    described = sweep_wandb.described(sweep, options)
    assert described["command"][-2:] == ["datamodule.path=x", "${args_no_hyphens}"]
    assert described["program"].endswith("lightning_main.py")
    command = sweep_wandb.agent_command(sweep, options, "abc")
    assert command[command.index("--count") + 1] == "3"
    assert "--forward-signals" in command
    monkeypatch.setattr(sweep_wandb, "has_key", lambda: False)
    with pytest.raises(ConfigError, match="backend=local"):
        sweep_wandb.run_agents(sweep, options)


def history(name: str, *epochs: tuple[float, float, float]) -> None:
    folder = Path("experiments_data") / name / "window_0/checkpoints"
    folder.mkdir(parents=True)
    (folder.parent / "done").touch()
    entries = [
        {"epoch": number, "val/auroc": auroc, "val/loss": loss, "train/loss": train}
        for number, (auroc, loss, train) in enumerate(epochs)
    ]
    (folder / "history.json").write_text(json.dumps(entries))


def test_candidates_are_ranked_by_their_best_epoch_and_gap(workspace: Path) -> None:  # noqa: ARG001 - sets the folder
    history("run_a", (0.90, 0.30, 0.10), (0.95, 0.40, 0.05))
    history("run_b", (0.94, 0.20, 0.18))
    names = found(["run_*", "run_b"])
    assert names == ["run_a", "run_b"]
    past = candidates._local(names)
    assert [each.name for each in rank(past, "val/auroc", 0.0)] == ["run_a", "run_b"]
    assert [each.name for each in rank(past, "val/auroc", 0.1)] == ["run_b", "run_a"]
    first = rank(past, "val/loss", 0.0)[0]
    assert (first.name, first.value, first.epoch) == ("run_b", 0.20, 0)
    assert rank(past, "val/auroc", 0.0)[0].gap == pytest.approx(0.35)
    with pytest.raises(ConfigError, match="nothing_"):
        found(["nothing_*"])


def test_candidates_are_retrained_with_their_own_words(workspace: Path) -> None:
    assert search(workspace, runs=3).run() == 0

    class Played:
        config = Config(
            candidates=CandidatesOptions(
                among=["found_*"], metric="val/loss", top=2, retrain=True, words=["trainer.max_epochs=5"]
            )
        )
        folder = Path("experiments_data/final")

    assert candidates.candidates(Played()) == 0  # type: ignore[arg-type]
    record = json.loads((workspace / "experiments_data/final/candidates.json").read_text())
    best = record["candidates"][0]["name"]
    assert record["kept"] == f"{best}_full"
    by_name = {run["experiment_id"]: run for run in played(workspace) if "task" not in run}
    again = by_name[f"{best}_full"]
    assert again["trainer.max_epochs"] == "5"
    assert again["detector.optimizer.lr"] == by_name[best]["detector.optimizer.lr"]
    assert next(run for run in played(workspace) if run.get("task") == "test")["experiment_id"] == record["kept"]
