"""The root keys and the options of each verb, typed, and known to Hydra as the root of every configuration."""

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, make_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import BooleanNode, FloatNode, IntegerNode, StringNode, ValueNode
from omegaconf.errors import ValidationError

from contracts.errors import ConfigError


def option(default: Any, meaning: str, choices: tuple[str, ...] = ()) -> Any:
    """A field with the text ``--help`` shows for it and, where it has some, its only values."""
    return field(default=default, metadata={"help": meaning, "choices": choices})


GROUP = {"group": True}
"""Mark of a node that comes from a folder of YAML files in ``conf/``."""


@dataclass
class PrepareOptions:
    """Options of ``task=prepare``."""

    out: str | None = option(None, "HDF5 file to write; experiments_data/<id>/data.h5 by default")
    storage: str = option("encoded", "keep the encoded bytes, or pixels of one size", ("encoded", "pixels"))
    size: int | None = option(None, "side in pixels every image is resized to; null keeps the native size")
    limit: int | None = option(None, "rows kept, drawn evenly from classes and splits; null keeps all")
    workers: int | None = option(None, "processes; null takes one a core")
    max_failures: float = option(0.01, "share of unreadable images above which the command fails")
    shards: int = option(1, "parts the images are prepared in; the last one puts them together")
    shard: int | None = option(None, "which part, from 0; the number within a SLURM array by default")


@dataclass
class AuditOptions:
    """Options of ``task=audit``."""

    out: str | None = option(None, "folder for the report; experiments_data/<id>/ by default")


@dataclass
class DoctorOptions:
    """Options of ``task=doctor``."""

    data: bool = option(False, "look at the data too: images by split and label, and what would stop a fit or test")


@dataclass
class PredictOptions:
    """Options of ``task=predict``."""

    out: str | None = option(None, "folder for scores; experiments_data/<id>/ by default")
    shards: int = option(1, "parts the images are scored in; the last one puts them together")
    shard: int | None = option(None, "which part, from 0; the number within a SLURM array by default")
    threshold: str | None = option(None, "threshold.json of task=threshold; the one in the folder by default")
    maps: int = option(0, "images, highest scores first, whose maps are drawn; -1 for all")
    robust: float = option(1.0, "share of a map's values its colours span; 0.99 lets outliers saturate")


@dataclass
class ThresholdOptions:
    """Options of ``task=threshold``."""

    input: str | None = option(
        None, "table of scores: a CSV with labels, a dump, or an experiment; the one named by default"
    )
    column: str | None = option(None, "score the threshold is for; the table's first by default")
    rule: str = option(
        "balanced_accuracy",
        "what is kept; youden is an older name of balanced_accuracy",
        ("balanced_accuracy", "youden", "fpr_1", "fpr_5"),
    )
    direction: str = option("auto", "which values mean generated; auto: the images tell", ("auto", "higher", "lower"))
    label: str = option("label", "name of a CSV's label column")
    generated_label: str | None = option(None, "what it holds for generated images; 1, generated or fake by default")
    out: str | None = option(None, "folder for threshold.json; experiments_data/<id>/ by default")


@dataclass
class ReviewOptions:
    """Options of ``task=review``."""

    inputs: list[str] = field(default_factory=list, metadata={"help": "dumps or experiments: [a.npz,b]", "choices": ()})
    out: str | None = option(None, "folder for the page; review/ beside the first dump by default")


@dataclass
class GenerateOptions:
    """Options of ``task=generate``."""

    weights: str | None = option(None, "folder of weights to draw from (or ckpt=FILE of trained siblings)")
    out: str | None = option(None, "folder for images; experiments_data/<id>/images by default")
    train: int = option(250, "images of each variant for training")
    valid: int = option(50, "for validation")
    test: int = option(50, "for testing")
    batch: int = option(16, "images drawn at once")
    outliers: bool = option(True, "also take as many pictures of the data module, resized, as outliers")


@dataclass
class TraceOptions:
    """Options of ``task=trace``."""

    out: str | None = option(None, "folder for scores; experiments_data/<id>/ by default")
    cache: str | None = option(None, "folder of results by content; <out>/trace_cache by default")
    fit_on: list[str] = field(
        default_factory=lambda: ["train"],
        metadata={"help": "splits the decisions are fitted on (scored by cross-fitting)", "choices": ()},
    )
    decision: str | None = option(None, "fitted decisions of an earlier run; fits nothing then")
    batch: int = option(16, "images a pass")
    block: int = option(256, "images a cached file")
    positions: int = option(64, "tokens a slice of the softmax")
    refused: str = option("stop", "images no variant can have saved: stop, or call them outliers", ("stop", "outlier"))


@dataclass
class ExportTreeOptions:
    """Options of ``task=export_tree``."""

    out: str | None = option(None, "root of the tree; experiments_data/<id>/tree by default")
    reals: str = option("photographs", "name of the set that real images go to")


@dataclass
class CompareOptions:
    """Options of ``task=compare``."""

    inputs: list[str] = field(
        default_factory=list, metadata={"help": "experiments or dumps, the first to compare with: [a,b]", "choices": ()}
    )
    out: str | None = option(None, "folder for the tables; experiments_data/<id>/compare by default")
    metric: str = option("auroc", "what the heat map shows", ("accuracy", "average_precision", "auroc"))


@dataclass
class ExplainOptions:
    """Options of ``task=explain``."""

    out: str | None = option(None, "folder; explain/ beside the dump by default")
    images: int = option(4, "most confident images of each class, right and wrong, whose maps are drawn")
    ids: list[str] = field(
        default_factory=list, metadata={"help": "images whose maps are drawn instead", "choices": ()}
    )


@dataclass
class SweepOptions:
    """Options of ``task=sweep``."""

    file: str | None = option(None, "a search in W&B's format: a name of conf/sweep, or a file")
    backend: str = option("local", "Optuna without a server, or W&B's server and agents", ("local", "wandb"))
    runs: int | None = option(None, "how many; the file's run_cap by default")
    workers: int = option(1, "runs at once")
    words: list[str] = field(default_factory=list, metadata={"help": "further words of every run", "choices": ()})
    study: str | None = option(
        None, "SQLite file, shared by several workers; experiments_data/<id>/study.db by default"
    )
    pruner: str = option("file", "what ends poor runs early", ("file", "median", "hyperband", "none"))
    id: str | None = option(None, "W&B's id of a sweep that exists, to join it")
    project: str = option("pixelproof", "W&B's project")


@dataclass
class CandidatesOptions:
    """Options of ``task=candidates``."""

    among: list[str] = field(default_factory=list, metadata={"help": "experiments, names or globs", "choices": ()})
    wandb: str | None = option(None, "W&B's entity/project, whose runs are candidates too")
    tags: list[str] = field(default_factory=list, metadata={"help": "that runs of W&B must have", "choices": ()})
    filters: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "further ones, in W&B's form: {state: finished}", "choices": ()}
    )
    metric: str = option("val/auroc", "logged value that ranks, the greater the better (val/loss: the less)")
    gap_weight: float = option(0.0, "how much a gap between validation and training loss counts against a run")
    top: int = option(5, "candidates kept")
    words: list[str] = field(default_factory=list, metadata={"help": "what is changed to retrain them", "choices": ()})
    retrain: bool = option(False, "retrain the candidates, keep the best, test it")
    workers: int = option(1, "runs at once")


@dataclass
class ConvertOptions:
    """Options of ``task=convert``."""

    inputs: list[str] = field(
        default_factory=list, metadata={"help": "AI-GenBench's YAML files, in order", "choices": ()}
    )
    out: str | None = option(None, "experiment to write; <last input>_converted.yaml by default")


@dataclass
class TuneOptions:
    """What ``task=fit`` looks for before it trains."""

    lr: bool = option(False, "find the learning rate first")
    batch_size: bool = option(False, "find the largest batch size first")


@dataclass
class Config:
    """The root: what is done, under which name, with which parts."""

    task: str = option("fit", "the verb")
    experiment_id: str | None = option(None, "results in experiments_data/NAME/")
    ckpt: str | None = option(None, "weights to score with, or to start from")
    seed: int = option(100, "of everything that is drawn")
    experiment: str | None = option(None, "chosen recipe of conf/experiment")
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
    trace: TraceOptions = field(default_factory=TraceOptions)


VERB_OPTIONS: dict[str, type] = {
    "prepare": PrepareOptions,
    "audit": AuditOptions,
    "doctor": DoctorOptions,
    "predict": PredictOptions,
    "review": ReviewOptions,
    "threshold": ThresholdOptions,
    "sweep": SweepOptions,
    "candidates": CandidatesOptions,
    "convert": ConvertOptions,
    "tune": TuneOptions,
    "export_tree": ExportTreeOptions,
    "compare": CompareOptions,
    "explain": ExplainOptions,
    "generate": GenerateOptions,
    "trace": TraceOptions,
}


def root_keys() -> dict[str, "Field[Any]"]:
    """The root's fields by name."""
    return {f.name: f for f in fields(Config)}


def verb_options(name: str) -> dict[str, "Field[Any]"]:
    """The options under a root key by name; none where it is a single value or a group."""
    return {f.name: f for f in fields(VERB_OPTIONS[name])} if name in VERB_OPTIONS else {}


NODES: dict[str, Callable[..., ValueNode]] = {
    "str": StringNode,
    "int": IntegerNode,
    "float": FloatNode,
    "bool": BooleanNode,
}


def register() -> None:
    """Makes the schema's keys known to Hydra, as ``schema`` of the defaults list in ``config.yaml``.

    Their types are held against the values afterwards (`typed_root`): while Hydra composes, nobody knows yet which
    numbers are text (`conf.keys.written`).
    """
    ConfigStore.instance().store(name="schema", node=_untyped(Config))


def _untyped(schema: type) -> type:
    """The same dataclass with values of any type; lists and mappings stay such."""
    listed: list[tuple[str, Any, Any]] = []
    for each in fields(schema):
        inner = VERB_OPTIONS.get(each.name) if schema is Config else None
        if inner is not None:
            made = _untyped(inner)
            listed.append((each.name, made, field(default_factory=made)))
        elif each.default_factory is not MISSING:
            kind = list[Any] if "list" in str(each.type) else dict[str, Any]
            listed.append((each.name, kind, field(default_factory=each.default_factory)))
        else:
            listed.append((each.name, Any, field(default=each.default)))
    return make_dataclass(schema.__name__, listed)


def typed_root(plain: dict[str, Any]) -> Config:
    """The root with its options as their dataclasses.

    Raises:
        ConfigError: a value does not fit the type of its key.
    """
    given: dict[str, Any] = dict(plain)
    for name, schema in VERB_OPTIONS.items():
        options = {each.name: _checked(f"{name}.{each.name}", each, given[name][each.name]) for each in fields(schema)}
        given[name] = schema(**options)
    for each in fields(Config):
        if each.name not in VERB_OPTIONS:
            given[each.name] = _checked(each.name, each, given[each.name])
    return Config(**given)


def _checked(key: str, of: "Field[Any]", value: Any) -> Any:
    text = of.type.__name__ if type(of.type) is type else str(of.type)
    kind, optional = text.removesuffix(" | None"), text.endswith(" | None")
    if kind in NODES:
        return _scalar(key, kind, optional, value)
    if kind == "list[str]" and isinstance(value, list):
        return [_scalar(f"{key}[{place}]", "str", False, each) for place, each in enumerate(value)]
    return value


def _scalar(key: str, kind: str, optional: bool, value: Any) -> Any:
    shown = "null" if value is None else value
    if isinstance(value, dict | list) or (value is None and not optional):
        raise ConfigError(f"{key}={shown} is no {kind}", f"Give {key} one value.")
    try:
        return NODES[kind](value, is_optional=optional)._value()
    except ValidationError as error:
        raise ConfigError(
            f"{key}={shown}: {str(error).splitlines()[0]}", f"Give {key} a value of that type."
        ) from error
