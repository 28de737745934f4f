"""A composed experiment, as every verb receives it."""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from conf.build import build, build_each
from conf.compose import Composed
from conf.keys.targets import resolve
from contracts.errors import ConfigError
from contracts.names import given_path
from contracts.process.stop import slurm_started

DATA = Path("experiments_data")
LOGS = Path("experiments_logs")
LOCK = "config.lock.yaml"  # File in an experiment's folder: the configuration with which it was started
HANDED = "PIXELPROOF_EXPERIMENT_ID"
"""Environment variable that passes the experiment's id to the other local ranks, which cannot find it themselves."""


class Run:
    """An experiment's settings, and builders of its parts; each part is imported and built on request."""

    def __init__(self, composed: Composed) -> None:
        self.composed = composed
        self.config = composed.config

    @property
    def ckpt(self) -> Path | None:
        """Checkpoint to score with, or to start from."""
        return given_path(self.config.ckpt) if self.config.ckpt else None

    @cached_property
    def experiment_id(self) -> str:
        """The given name, else the one found by `find_experiment_id`, which is passed to the other local ranks."""
        name = self.config.experiment_id or find_experiment_id(os.environ)
        os.environ[HANDED] = name
        return name

    @property
    def folder(self) -> Path:
        """The experiment's folder; this does not create it."""
        return DATA / self.experiment_id

    @property
    def logs(self) -> Path:
        """Folder of the loggers."""
        return LOGS

    def out(self, given: str | None, *default: str) -> Path:
        """The output path that an option gives, else a place in the experiment's folder."""
        return Path(given).expanduser() if given else self.folder.joinpath(*default)

    def datamodule(self, **extra: Any) -> Any:
        """Builds the data module."""
        return build(self.config.datamodule, "datamodule", **extra)

    def detector(self, **extra: Any) -> Any:
        """Builds the detector, untrained or with the weights that its configuration names."""
        return build(self.config.detector, "detector", **extra)

    def benchmark(self, **extra: Any) -> Any:
        """Builds the protocol."""
        return build(self.config.benchmark, "benchmark", **extra)

    def trainer(self, **extra: Any) -> Any:
        """Builds Lightning's trainer; loggers and callbacks are extra arguments."""
        return build(self.config.trainer, "trainer", **extra)

    def loggers(self, **extra: Any) -> list[Any]:
        """Builds the loggers; each gets the extra arguments that its constructor has and its configuration lacks."""
        return list(build_each(self.config.logger, "logger", **extra).values())

    def metrics(self) -> dict[str, Any]:
        """Metrics of the user's own, by name: functions as `benchmarks.metrics` describes them, or of torchmetrics."""
        from benchmarks.torch_metrics import TorchMetric, is_torch_metric  # imports numpy

        made = {}
        for name, node in self.config.metrics.items():
            if is_torch_metric(resolve(node.get("_target_"), f"metrics.{name}")):
                made[name] = TorchMetric(name, build({**node, "_partial_": True}, f"metrics.{name}"))
            else:
                made[name] = build(node, f"metrics.{name}")
        return made

    def callbacks(self, **extra: Any) -> list[Any]:
        """Builds the callbacks; each gets the extra arguments that its constructor has and its configuration lacks."""
        return list(build_each(self.config.callbacks, "callbacks", **extra).values())


def find_experiment_id(env: Mapping[str, str], root: Path = DATA) -> str:
    """The id of an experiment without a name.

    It is, in this order: the id found by the parent rank; the W&B run id inside a sweep; the SLURM (array) job id,
    which a requeued job keeps; the next free number, reserved by creating its folder.

    Raises:
        ConfigError: several ranks were started externally, and each would find a different number.
    """
    local_rank = env.get("LOCAL_RANK", "0")
    if local_rank != "0" and HANDED in env:
        return env[HANDED]
    given = given_id(env)
    if given is not None:
        return given
    if local_rank != "0" or "TORCHELASTIC_RUN_ID" in env:
        raise ConfigError(
            "several ranks were started externally and the experiment has no name", "Give experiment_id=NAME."
        )
    return _reserve_number(root)


def given_id(env: Mapping[str, str]) -> str | None:
    """The id of a run that was started by a W&B sweep or by SLURM, else None."""
    if env.get("WANDB_SWEEP_ID") and env.get("WANDB_RUN_ID"):
        return env["WANDB_RUN_ID"]
    if not slurm_started(env):
        return None  # also in a shell inside an allocation, where several runs share one job
    if env.get("SLURM_ARRAY_JOB_ID") and env.get("SLURM_ARRAY_TASK_ID"):
        return f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}"
    return env["SLURM_JOB_ID"]


def _reserve_number(root: Path) -> str:
    """Creates the folder of the next free number; two runs that start at once get different numbers."""
    root.mkdir(parents=True, exist_ok=True)
    while True:
        taken = [int(match[1]) for entry in root.iterdir() if (match := re.fullmatch(r"(\d{1,9})(_\d+)?", entry.name))]
        name = str(max(taken, default=0) + 1)
        try:
            (root / name).mkdir()
        except FileExistsError:
            continue
        return name
