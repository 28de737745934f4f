"""``task=candidates``: rank past runs, retrain the best ones on other data, and test the best of those."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from conf.cli.words import parse
from conf.keys.syntax import ROOT
from contracts.errors import ConfigError, DataError
from contracts.files import write_atomically
from contracts.history import read_epochs
from contracts.screen import display, table_of
from contracts.words import counted
from launchers.job import Job
from launchers.local import LocalLauncher
from tasks.experiment.run import DATA, LOCK, Run
from tasks.multirun.past_runs import Past, past_runs

PROGRAM: Path = ROOT / "lightning_main.py"

FULL = "_full"  # Suffix of a retrained experiment's name


@dataclass(frozen=True)
class Candidate:
    """A past run at its best epoch."""

    name: str  # of the experiment
    value: float  # the metric there
    gap: float  # validation loss minus training loss there, positive if it overfits; 0 if one is unknown
    epoch: int  # the best epoch
    epochs: int  # number of epochs
    rank: float  # value it is ranked by; higher is better


def candidates(run: Run) -> int:
    """Ranks experiments by their own files or W&B's; with ``candidates.retrain`` it retrains them and tests the best.

    The retrained runs are ranked in the same way, so only the kept one is scored on the test images.

    Raises:
        ConfigError: no experiment is named, or a name matches none.
        DataError: none of them logged the metric.
    """
    options = run.config.candidates
    past = _local(found(options.among)) if options.among or not options.wandb else []
    if options.wandb:
        past += past_runs(options.wandb, options.tags, options.filters, options.metric)
    ranked = rank(past, options.metric, options.gap_weight)[: options.top]
    show(f"candidates by {options.metric}", options.metric, ranked)
    record: dict[str, Any] = {"metric": options.metric, "candidates": [asdict(each) for each in ranked]}
    code = 0
    if options.retrain:
        recorded = {each.name: each.words for each in past}
        jobs = [
            Job((*_words(each.name, recorded[each.name], options.words), f"experiment_id={each.name}{FULL}"), PROGRAM)
            for each in ranked
        ]
        logs = str(run.folder / "logs")
        code = LocalLauncher(options.workers, logs).launch(jobs)
        again = rank(_local([f"{each.name}{FULL}" for each in ranked]), options.metric, options.gap_weight)
        show("retrained", options.metric, again)
        kept = again[0].name
        record |= {"retrained": [asdict(each) for each in again], "kept": kept}
        code = LocalLauncher().launch([Job(("task=test", f"experiment_id={kept}"), PROGRAM)]) or code
        mirror(kept)
        print(f"kept: {kept}; its checkpoints are in {DATA / kept}")
    run.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(run.folder / "candidates.json", json.dumps(record, indent=1).encode())
    return code


def found(patterns: Sequence[str]) -> list[str]:
    """Names of completed experiments, given by name or glob.

    Raises:
        ConfigError: a pattern matches none.
    """
    if not patterns:
        raise ConfigError("task=candidates needs experiments to rank", 'Give candidates.among=["sweep_*"].')
    names: list[str] = []
    for pattern in patterns:
        fitting = sorted(path.parents[1].name for path in DATA.glob(f"{pattern}/window_*/done"))
        if not fitting:
            raise ConfigError(f"candidates.among: no completed experiment matches {pattern!r}", f"See {DATA}.")
        names += [name for name in fitting if name not in names]
    return names


def _local(names: Sequence[str]) -> list[Past]:
    locks = [DATA / name / LOCK for name in names]
    words = [yaml.safe_load(lock.read_text())["command"] if lock.is_file() else None for lock in locks]
    return [Past(name, read_epochs(DATA / name), recorded) for name, recorded in zip(names, words, strict=True)]


def rank(past: Sequence[Past], metric: str, gap_weight: float) -> list[Candidate]:
    """Runs from best to worst, each at its best epoch.

    Raises:
        DataError: none has the metric.
    """
    sign = -1.0 if metric == "val/loss" else 1.0
    ranked = []
    for each in past:
        epochs = [entry for entry in each.epochs if metric in entry]
        if epochs:
            best = max(epochs, key=lambda entry: sign * entry[metric])
            gap = best["val/loss"] - best["train/loss"] if {"train/loss", "val/loss"} <= best.keys() else 0.0
            value = sign * best[metric] - gap_weight * max(0.0, gap)
            ranked.append(Candidate(each.name, best[metric], gap, best["epoch"], len(epochs), value))
    if not ranked:
        raise DataError(f"{metric} is in no history of {counted(len(past), 'experiment')}", "Check candidates.metric.")
    return sorted(ranked, key=lambda each: each.rank, reverse=True)


def show(title: str, metric: str, ranked: Sequence[Candidate]) -> None:
    """Prints the candidates as a table."""
    table = table_of("experiment", metric, "val - train loss", "best epoch", title=title, title_justify="left")
    for each in ranked:
        table.add_row(each.name, f"{each.value:.4f}", f"{each.gap:+.4f}", f"{each.epoch + 1} of {each.epochs}")
    display(table)


def mirror(name: str) -> None:
    """Adds the test metrics to the W&B runs of the training, if there are any."""
    recorded = yaml.safe_load((DATA / name / LOCK).read_text())["config"]
    if "wandb" not in recorded.get("logger", {}):
        return
    from callbacks.reporting.wandb_logger import wandb_logger

    settings = {key: value for key, value in recorded["logger"]["wandb"].items() if not key.startswith("_")}
    for folder in sorted((DATA / name).glob("window_*")):
        results = json.loads((folder / "metrics.json").read_text()).get("test", [])
        pooled = [one for one in results if one["kind"] == "pooled"]
        values = {f"test/{one['metric']}" + (f"@{one['at']}" if one["at"] else ""): one["value"] for one in pooled}
        logger = wandb_logger(name=f"{name}/{folder.name}", group=name, **settings)
        logger.experiment.summary.update(values)
        logger.experiment.finish()


def _words(name: str, recorded: Sequence[str] | None, further: Sequence[str]) -> list[str]:
    """The arguments an experiment was started with, without those that further arguments replace, then the latter.

    Raises:
        ConfigError: the arguments are not recorded.
    """
    if recorded is None:
        raise ConfigError(
            f"candidate {name}: neither {DATA / name / LOCK} nor W&B's configuration records its command",
            "Set candidates.retrain=false, and retrain it manually with its configuration.",
        )
    changed = {word.key_or_group for word in parse(further)} | {"experiment_id", "task", "launcher"}
    kept = [word for word in recorded if not {each.key_or_group for each in parse([word])} & changed]
    return [*kept, *further]
