"""Search without a server: Optuna proposes settings, ordinary commands run, and their files provide the results."""

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich.table import Table

from conf.keys.options import SweepOptions
from conf.keys.syntax import ROOT
from conf.sweep_parameters import Parameter, Scalar
from conf.sweeps import Sweep
from contracts.errors import ConfigError
from contracts.history import read_epochs
from contracts.keys import random_key
from contracts.process.stop import Stopped
from contracts.screen import display
from contracts.words import counted
from tasks.experiment.run import DATA

PATIENCE = 300  # Seconds that SQLite waits for another worker

CAP = 20  # Number of runs if neither the file nor the command sets it


@dataclass
class Running:
    """A run: Optuna's trial, its process, its experiment, and the number of epochs reported to Optuna."""

    trial: Any
    process: "subprocess.Popen[bytes]"
    name: str
    reported: int = 0
    pruned: bool = False


class LocalSearch:
    """Proposes, runs and reports trials, several at once; its state is a SQLite file, from which a restart resumes.

    An interrupted run resumes in its own experiment folder with the same values. Several workers may share a study;
    each is identified by its seed.

    Args:
        sweep: the search.
        options: of the task.
        folder: of the search's own experiment.
        seed: of the sampler, and the worker's name.

    Raises:
        ConfigError: Optuna is not installed.
    """

    def __init__(self, sweep: Sweep, options: SweepOptions, folder: Path, seed: int) -> None:
        self.optuna = _optuna()
        self.sweep = sweep
        self.options = options
        self.folder = folder
        self.worker = str(seed)
        file = Path(options.study).expanduser() if options.study else folder / "study.db"
        file.parent.mkdir(parents=True, exist_ok=True)
        self.name = file.parent.name
        choices = (p.values or range(int(p.low), int(p.high) + 1) for p in sweep.parameters)
        grid = list(product(*choices)) if sweep.method == "grid" else []
        with _alone(file.with_name(f"{file.name}.lock")):
            self.study = self.optuna.create_study(
                study_name=sweep.name,
                # another worker's write may take longer than SQLite's default of five seconds
                storage=self.optuna.storages.RDBStorage(
                    f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": PATIENCE}}
                ),
                pruner=self._pruner(),
                direction="maximize" if sweep.maximize else "minimize",
                load_if_exists=True,
            )
            if warning := other_optuna(self.study, self.optuna.__version__):
                print(warning)
            for values in grid:
                keys = (parameter.key for parameter in sweep.parameters)
                self.study.enqueue_trial(dict(zip(keys, values, strict=True)), skip_if_exists=True)
        # a restarted sampler with the same seed would repeat its first proposals
        self.study.sampler = self._sampler(random_key(seed, self._begun()) % 2**32)
        self.cap = min(options.runs or sweep.cap or len(grid) or CAP, len(grid) or sys.maxsize)

    def run(self) -> int:
        """Runs trials up to the maximum number; returns 0, or 1 if none succeeded."""
        running: list[Running] = []
        left = self._interrupted()
        try:
            while True:
                while len(running) < self.options.workers and (trial := self._next(left)) is not None:
                    running.append(self._start(trial))
                if not running:
                    break
                for each in list(running):
                    self._look(each)
                    if each.process.poll() is not None:
                        running.remove(each)
                        self._end(each)
                time.sleep(0.2)
        except (Stopped, KeyboardInterrupt):
            for each in running:
                each.process.terminate()
            for each in running:
                each.process.wait()  # it saves; the trial stays open, and the next start resumes it
            raise
        return self._report()

    def _interrupted(self) -> list[Any]:
        state = self.optuna.trial.TrialState.RUNNING
        mine = [t for t in self.study.get_trials(states=[state]) if t.user_attrs.get("worker") == self.worker]
        return [self.optuna.trial.Trial(self.study, trial._trial_id) for trial in mine]

    def _begun(self) -> int:
        """Number of runs started; those of a grid that still wait do not count."""
        waiting = self.optuna.trial.TrialState.WAITING
        return sum(trial.state != waiting for trial in self.study.get_trials(deepcopy=False))

    def _next(self, left: list[Any]) -> Any:
        if left:
            return left.pop(0)
        if self._begun() >= self.cap:
            return None
        trial = self.study.ask()
        trial.set_user_attr("worker", self.worker)
        return trial

    def _start(self, trial: Any) -> Running:
        values = {parameter.key: _suggested(trial, parameter) for parameter in self.sweep.parameters}
        name = f"{self.name}_{trial.number:03d}"
        trial.set_user_attr("experiment", name)
        words = [*self.sweep.command(values, self.options.words), f"experiment_id={name}", "launcher=null"]
        print(f"[{trial.number + 1}/{self.cap}] {' '.join(words)}", flush=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"run_{trial.number:03d}.log").open("ab") as log:
            command = [sys.executable, "-u", str(ROOT / "lightning_main.py"), *words]
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 - our own program
        return Running(trial, process, name)

    def _look(self, running: Running) -> None:
        """Reports new epochs to Optuna, and stops a run that Optuna prunes."""
        history = read_epochs(DATA / running.name)
        for entry in history[running.reported :]:
            if self.sweep.metric in entry:
                running.trial.report(entry[self.sweep.metric], entry["epoch"])
        fresh, running.reported = len(history) > running.reported, len(history)
        if fresh and not running.pruned and running.process.poll() is None and running.trial.should_prune():
            running.pruned = True
            running.process.terminate()

    def _end(self, running: Running) -> None:
        state = self.optuna.trial.TrialState
        code = running.process.returncode
        self._look(running)
        values = [entry[self.sweep.metric] for entry in read_epochs(DATA / running.name) if self.sweep.metric in entry]
        if running.pruned and code != 0:
            self.study.tell(running.trial, state=state.PRUNED)
        elif code == 0 and values:
            self.study.tell(running.trial, max(values) if self.sweep.maximize else min(values))
        else:
            self.study.tell(running.trial, state=state.FAIL)
            log = self.folder / f"run_{running.trial.number:03d}.log"
            print(f"pixelproof: run {running.trial.number} ended with code {code}; see {log}", file=sys.stderr)

    def _report(self) -> int:
        trials = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state.name != "WAITING"]
        table = Table(title=f"{self.sweep.name}: {self.sweep.metric} of {counted(len(trials), 'run')}")
        keys = [parameter.key for parameter in self.sweep.parameters]
        for head in ("run", "state", self.sweep.metric, *(key.rpartition(".")[2] for key in keys)):
            table.add_column(head)
        done = [trial for trial in trials if trial.state.name == "COMPLETE"]
        done.sort(key=lambda trial: trial.value, reverse=self.sweep.maximize)
        for trial in [*done, *(trial for trial in trials if trial.state.name != "COMPLETE")]:
            value = "" if trial.value is None else f"{trial.value:.4f}"
            cells = [_short(trial.params.get(key)) for key in keys]
            table.add_row(trial.user_attrs.get("experiment", ""), trial.state.name.lower(), value, *cells)
        display(table)
        if done:
            print(f"best: experiment_id={done[0].user_attrs['experiment']}; task=candidates compares and retrains")
        return 0 if done else 1

    def _sampler(self, seed: int) -> Any:
        samplers = self.optuna.samplers
        if self.sweep.method == "bayes":
            return samplers.TPESampler(seed=seed, constant_liar=self.options.workers > 1)
        return samplers.RandomSampler(seed=seed)

    def _pruner(self) -> Any:
        pruners, early = self.optuna.pruners, self.sweep.early or {}
        wanted = self.options.pruner
        if wanted == "file":
            wanted = "hyperband" if early else "none"
        if wanted == "median":
            return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=int(early.get("min_iter", 1)) - 1)
        if wanted == "hyperband":
            return pruners.HyperbandPruner(
                min_resource=int(early.get("min_iter", 1)), reduction_factor=int(early.get("eta", 3))
            )
        return pruners.NopPruner()


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Serialises workers that start together, like the jobs of an array: each would create the study's tables."""
    with lock.open("a") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def _suggested(trial: Any, parameter: Parameter) -> Scalar:
    if parameter.values:
        choice: Scalar = trial.suggest_categorical(parameter.key, list(parameter.values))
        return choice
    if parameter.kind == "int":
        return int(trial.suggest_int(parameter.key, int(parameter.low), int(parameter.high)))
    if parameter.log and parameter.step:  # Optuna cannot combine them
        value = float(trial.suggest_float(parameter.key, parameter.low, parameter.high, log=True))
        return max(parameter.low, round(value / parameter.step) * parameter.step)
    return float(
        trial.suggest_float(parameter.key, parameter.low, parameter.high, log=parameter.log, step=parameter.step)
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ConfigError("sweep.backend=local needs Optuna", "pip install 'pixelproof[sweep]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def other_optuna(study: Any, version: str) -> str | None:
    """A warning if a search was started with another version of Optuna, whose samplers may propose other values.

    The study stores the version with which it was started.
    """
    first_version = study.user_attrs.get("optuna")
    if first_version is None:
        study.set_user_attr("optuna", version)
    if first_version in (None, version):
        return None
    return (
        f"the search {study.study_name} was started with Optuna {first_version} "
        f"and continues with {version}: completed runs "
        f"still count, but the next proposals may differ; install optuna=={first_version} to get the original ones"
    )
