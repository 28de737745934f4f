"""The root of every configuration, typed: single values, groups, and the options of each verb."""

from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any

from conf.keys.options import (
    AuditOptions,
    CandidatesOptions,
    CompareOptions,
    ConvertOptions,
    DoctorOptions,
    ExplainOptions,
    ExportTreeOptions,
    GenerateOptions,
    GuessOptions,
    PredictOptions,
    PrepareOptions,
    ReviewOptions,
    SweepOptions,
    ThresholdOptions,
    TraceOptions,
    TuneOptions,
    option,
)

GROUP = {"group": True}
"""Marks a field that is filled from a folder of YAML files in ``conf/``."""


@dataclass
class Config:
    """The root of a configuration."""

    task: str = option("fit", "task to run, one of those above")
    experiment_id: str | None = option(None, "name of the experiment; results go to experiments_data/NAME/")
    ckpt: str | None = option(None, "checkpoint or weights to score with, or to start training from")
    seed: int = option(100, "random seed")
    experiment: str | None = option(None, "recipe from conf/experiment")
    datamodule: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    detector: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    benchmark: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    metrics: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    trainer: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    logger: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    callbacks: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    launcher: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    local: dict[str, Any] = field(default_factory=dict, metadata=GROUP)
    prepare: PrepareOptions = field(default_factory=PrepareOptions)
    audit: AuditOptions = field(default_factory=AuditOptions)
    doctor: DoctorOptions = field(default_factory=DoctorOptions)
    predict: PredictOptions = field(default_factory=PredictOptions)
    review: ReviewOptions = field(default_factory=ReviewOptions)
    threshold: ThresholdOptions = field(default_factory=ThresholdOptions)
    sweep: SweepOptions = field(default_factory=SweepOptions)
    candidates: CandidatesOptions = field(default_factory=CandidatesOptions)
    convert: ConvertOptions = field(default_factory=ConvertOptions)
    tune: TuneOptions = field(default_factory=TuneOptions)
    export_tree: ExportTreeOptions = field(default_factory=ExportTreeOptions)
    compare: CompareOptions = field(default_factory=CompareOptions)
    explain: ExplainOptions = field(default_factory=ExplainOptions)
    generate: GenerateOptions = field(default_factory=GenerateOptions)
    guess: GuessOptions = field(default_factory=GuessOptions)
    trace: TraceOptions = field(default_factory=TraceOptions)


VERB_OPTIONS: dict[str, Any] = {each.name: each.type for each in fields(Config) if is_dataclass(each.type)}
"""Root keys that hold the options of a verb, with their dataclasses."""


def root_keys() -> dict[str, "Field[Any]"]:
    """The root's fields by name."""
    return {each.name: each for each in fields(Config)}


def verb_options(name: str) -> dict[str, "Field[Any]"]:
    """The options under a root key by name; none where it is a single value or a group."""
    return {each.name: each for each in fields(VERB_OPTIONS[name])} if name in VERB_OPTIONS else {}
