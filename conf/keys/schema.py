"""The root of every configuration, typed: single values, groups, and the options of each verb."""

from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any

from conf.keys import options as of

GROUP = {"group": True}  # Marks a field that is filled from a folder of YAML files in ``conf/``


@dataclass
class Config:
    """The root of a configuration."""

    task: str = of.option("fit", "task to run")
    experiment_id: str | None = of.option(None, "name of the experiment; results go to experiments_data/NAME/")
    ckpt: str | None = of.option(None, "checkpoint or weights to score with, or to start training from")
    calibrated: bool = of.option(False, "whether task=test and task=predict apply the checkpoint's calibration")
    seed: int = of.option(100, "random seed")
    experiment: str | None = of.option(None, "recipe from conf/experiment")
    datamodule: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    detector: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    benchmark: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    metrics: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    trainer: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    logger: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    callbacks: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    launcher: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    local: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    prepare: of.PrepareOptions = field(default_factory=of.PrepareOptions)
    audit: of.AuditOptions = field(default_factory=of.AuditOptions)
    explore: of.ExploreOptions = field(default_factory=of.ExploreOptions)
    doctor: of.DoctorOptions = field(default_factory=of.DoctorOptions)
    predict: of.PredictOptions = field(default_factory=of.PredictOptions)
    review: of.ReviewOptions = field(default_factory=of.ReviewOptions)
    threshold: of.ThresholdOptions = field(default_factory=of.ThresholdOptions)
    calibrate: of.CalibrateOptions = field(default_factory=of.CalibrateOptions)
    sweep: of.SweepOptions = field(default_factory=of.SweepOptions)
    candidates: of.CandidatesOptions = field(default_factory=of.CandidatesOptions)
    convert: of.ConvertOptions = field(default_factory=of.ConvertOptions)
    export: of.ExportOptions = field(default_factory=of.ExportOptions)
    tune: of.TuneOptions = field(default_factory=of.TuneOptions)
    export_tree: of.ExportTreeOptions = field(default_factory=of.ExportTreeOptions)
    combine: of.CombineOptions = field(default_factory=of.CombineOptions)
    compare: of.CompareOptions = field(default_factory=of.CompareOptions)
    leaderboard: of.LeaderboardOptions = field(default_factory=of.LeaderboardOptions)
    explain: of.ExplainOptions = field(default_factory=of.ExplainOptions)
    generate: of.GenerateOptions = field(default_factory=of.GenerateOptions)
    guess: of.GuessOptions = field(default_factory=of.GuessOptions)
    serve: of.ServeOptions = field(default_factory=of.ServeOptions)
    trace: of.TraceOptions = field(default_factory=of.TraceOptions)


VERB_OPTIONS: dict[str, Any] = {each.name: each.type for each in fields(Config) if is_dataclass(each.type)}
"""Root keys that hold the options of a verb, with their dataclasses."""


def root_keys() -> dict[str, "Field[Any]"]:
    """The root's fields by name."""
    return {each.name: each for each in fields(Config)}


def verb_options(name: str) -> dict[str, "Field[Any]"]:
    """The options under a root key by name; none where it is a single value or a group."""
    return {each.name: each for each in fields(VERB_OPTIONS[name])} if name in VERB_OPTIONS else {}
