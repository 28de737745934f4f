"""One composed experiment: what a verb gets to work with."""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.torch_metrics import TorchMetric, is_torch_metric
from conf.build import build, build_each
from conf.compose import Composed
from conf.keys.options import (
    AuditOptions,
    CandidatesOptions,
    CompareOptions,
    ConvertOptions,
    DoctorOptions,
    ExplainOptions,
    ExportTreeOptions,
    GenerateOptions,
    PredictOptions,
    PrepareOptions,
    ReviewOptions,
    SweepOptions,
    ThresholdOptions,
    TraceOptions,
    TuneOptions,
)
from conf.keys.targets import resolve
from contracts.errors import ConfigError
from contracts.names import given_path
from contracts.stop import slurm_started

DATA = Path("experiments_data")
LOGS = Path("experiments_logs")
LOCK = "config.lock.yaml"
"""In an experiment's folder: the configuration it was begun with."""
HANDED = "PIXELPROOF_EXPERIMENT_ID"
"""Environment variable that hands the experiment's id to the other local ranks, which never find it by themselves."""


class Run:
    """The experiment's settings, and builders of its parts; nothing is built, or imported, before it is asked for."""

    def __init__(self, composed: Composed) -> None:
        self.composed = composed
        self.config = composed.config

    @property
    def task(self) -> str:
        """The verb."""
        return self.config.task

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""
        return self.config.seed

    @property
    def ckpt(self) -> Path | None:
        """Weights to score with, or to start from."""
        return given_path(self.config.ckpt) if self.config.ckpt else None

    @property
    def experiment(self) -> str | None:
        """The chosen recipe of ``conf/experiment``."""
        return self.config.experiment

    @property
    def prepare(self) -> PrepareOptions:
        """Options of ``task=prepare``."""
        return self.config.prepare

    @property
    def audit(self) -> AuditOptions:
        """Options of ``task=audit``."""
        return self.config.audit

    @property
    def doctor(self) -> DoctorOptions:
        """Options of ``task=doctor``."""
        return self.config.doctor

    @property
    def predict(self) -> PredictOptions:
        """Options of ``task=predict``."""
        return self.config.predict

    @property
    def review(self) -> ReviewOptions:
        """Options of ``task=review``."""
        return self.config.review

    @property
    def threshold(self) -> ThresholdOptions:
        """Options of ``task=threshold``."""
        return self.config.threshold

    @property
    def sweep(self) -> SweepOptions:
        """Options of ``task=sweep``."""
        return self.config.sweep

    @property
    def candidates(self) -> CandidatesOptions:
        """Options of ``task=candidates``."""
        return self.config.candidates

    @property
    def convert(self) -> ConvertOptions:
        """Options of ``task=convert``."""
        return self.config.convert

    @property
    def tune(self) -> TuneOptions:
        """What is looked for before training."""
        return self.config.tune

    @property
    def generate(self) -> GenerateOptions:
        """Options of ``task=generate``."""
        return self.config.generate

    @property
    def trace(self) -> TraceOptions:
        """Options of ``task=trace``."""
        return self.config.trace

    @property
    def export_tree(self) -> ExportTreeOptions:
        """Options of ``task=export_tree``."""
        return self.config.export_tree

    @property
    def compare(self) -> CompareOptions:
        """Options of ``task=compare``."""
        return self.config.compare

    @property
    def explain(self) -> ExplainOptions:
        """Options of ``task=explain``."""
        return self.config.explain

    @property
    def resolved(self) -> dict[str, Any]:
        """The whole configuration as plain containers."""
        return self.composed.resolved

    @property
    def overrides(self) -> tuple[str, ...]:
        """The words of the command line."""
        return self.composed.overrides

    @cached_property
    def experiment_id(self) -> str:
        """Name of the results: given, else found once (see `find_experiment_id`) and handed to other local ranks."""
        name = self.config.experiment_id or find_experiment_id(os.environ)
        os.environ[HANDED] = name
        return name

    @property
    def folder(self) -> Path:
        """Where results go; not made here."""
        return DATA / self.experiment_id

    @property
    def logs(self) -> Path:
        """Where loggers write."""
        return LOGS

    def datamodule(self, **extra: Any) -> Any:
        """Builds the data module."""
        return build(self.config.datamodule, "datamodule", **extra)

    def detector(self, **extra: Any) -> Any:
        """Builds the detector, untrained or with the weights its node names."""
        return build(self.config.detector, "detector", **extra)

    def benchmark(self, **extra: Any) -> Any:
        """Builds the protocol."""
        return build(self.config.benchmark, "benchmark", **extra)

    def trainer(self, **extra: Any) -> Any:
        """Builds Lightning's trainer; loggers and callbacks are handed over as extra arguments."""
        return build(self.config.trainer, "trainer", **extra)

    def loggers(self, **extra: Any) -> list[Any]:
        """Builds the loggers; each gets those extra arguments its constructor names and its node leaves out."""
        return list(build_each(self.config.logger, "logger", **extra).values())

    def metrics(self) -> dict[str, Any]:
        """Metrics of the user's own, by name: functions as `benchmarks.metrics` describes them, or of torchmetrics."""
        made = {}
        for name, node in self.config.metrics.items():
            if is_torch_metric(resolve(node.get("_target_"), f"metrics.{name}")):
                made[name] = TorchMetric(name, build({**node, "_partial_": True}, f"metrics.{name}"))
            else:
                made[name] = build(node, f"metrics.{name}")
        return made

    def callbacks(self, **extra: Any) -> list[Any]:
        """Builds the callbacks; each gets those extra arguments its constructor names and its node leaves out."""
        return list(build_each(self.config.callbacks, "callbacks", **extra).values())


def find_experiment_id(env: Mapping[str, str], root: Path = DATA) -> str:
    """The id of an experiment that was not named.

    In this order: the one a parent rank found; the W&B run id inside a sweep; the SLURM (array) job id, which stays
    the same when a job is requeued; the next free number, reserved by making its folder.

    Raises:
        ConfigError: several ranks were started from outside, so that each would find a number of its own.
    """
    local_rank = env.get("LOCAL_RANK", "0")
    if local_rank != "0" and HANDED in env:
        return env[HANDED]
    given = given_id(env)
    if given is not None:
        return given
    if local_rank != "0" or "TORCHELASTIC_RUN_ID" in env:
        raise ConfigError(
            "several ranks were started from outside and the experiment has no name", "Give experiment_id=NAME."
        )
    return _reserve_number(root)


def given_id(env: Mapping[str, str]) -> str | None:
    """The id that a W&B sweep or SLURM gives a run, if one of them started it."""
    if env.get("WANDB_SWEEP_ID") and env.get("WANDB_RUN_ID"):
        return env["WANDB_RUN_ID"]
    if not slurm_started(env):
        return None  # nor in a shell inside an allocation, where several runs share one job
    if env.get("SLURM_ARRAY_JOB_ID") and env.get("SLURM_ARRAY_TASK_ID"):
        return f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}"
    return env["SLURM_JOB_ID"]


def _reserve_number(root: Path) -> str:
    """Makes the folder of the next free number; two runs starting at once get two numbers."""
    root.mkdir(parents=True, exist_ok=True)
    while True:
        taken = [int(match[1]) for entry in root.iterdir() if (match := re.fullmatch(r"(\d{1,9})(_\d+)?", entry.name))]
        name = str(max(taken, default=0) + 1)
        try:
            (root / name).mkdir()
        except FileExistsError:
            continue
        return name
