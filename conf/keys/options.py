"""The options of each task, typed, with a help text that says what each one sets."""

from dataclasses import dataclass, field
from typing import Any


def option(default: Any, meaning: str, choices: tuple[str, ...] = ()) -> Any:
    """A field with its help text and, if only some values are possible, those values."""
    return field(default=default, metadata={"help": meaning, "choices": choices})


def option_list(meaning: str, *default: str) -> Any:
    """A field that holds a list of texts, empty by default."""
    return field(default_factory=lambda: list(default), metadata={"help": meaning, "choices": ()})


@dataclass
class PrepareOptions:
    """Options of ``task=prepare``."""

    out: str | None = option(None, "HDF5 file to write; experiments_data/<id>/data.h5 by default")
    storage: str = option(
        "encoded", "form of stored images: encoded bytes, or pixels of one size", ("encoded", "pixels")
    )
    size: int | None = option(None, "side in pixels that every image is resized to; null keeps the native size")
    limit: int | None = option(None, "maximum number of images, sampled evenly from classes and splits; null keeps all")
    workers: int | None = option(None, "number of processes; null starts one for each core")
    max_failures: float = option(0.01, "maximum fraction of unreadable images tolerated")
    verify: str = option(
        "pixels",
        "what must be readable of an encoded image: its pixels, or its header alone, which is much faster but lets "
        "damaged images in",
        ("pixels", "header"),
    )
    shards: int = option(1, "number of shards the images are prepared in; the last to finish merges them")
    shard: int | None = option(None, "index of this shard, from 0; the index in a SLURM array by default")


@dataclass
class AuditOptions:
    """Options of ``task=audit``."""

    out: str | None = option(None, "folder for the report; experiments_data/<id>/ by default")
    deliveries: list[str] = option_list(
        "with ckpt=FILE, deliveries or presets applied to one class at a time, to find what the checkpoint relies on",
        "jpeg-95", "jpeg-75", "jpeg-50", "webp-80", "avif-60", "resize-0.5", "resize-1.5", "crop-0.75",
    )  # fmt: skip
    against: list[str] = option_list(
        "data sets in which copies of the test images are looked for: OPTION, OPTION:PATH, an experiment, a manifest, "
        "or hashes of an earlier audit: [genimage:/data/genimage,hashes.parquet]"
    )
    dump: str | None = option(
        None, "with audit.against, dump or experiment whose metrics are given with and without images that have copies"
    )
    images: int | None = option(
        1000, "with ckpt=FILE, maximum number of test images of each class, sampled by id; null takes all"
    )


@dataclass
class ExploreOptions:
    """Options of ``task=explore``."""

    images: int = option(2000, "number of images whose pixels are decoded; headers of all images are read")
    seed: int = option(0, "random seed of the sample and of the images shown")
    out: str | None = option(None, "folder for the page and its files; experiments_data/<id>/explore by default")


@dataclass
class DoctorOptions:
    """Options of ``task=doctor``."""

    data: bool = option(
        False,
        "whether to read the data too, to count images by split and label and to find what would stop a fit or test",
    )


@dataclass
class PredictOptions:
    """Options of ``task=predict``."""

    out: str | None = option(None, "folder for the scores; experiments_data/<id>/ by default")
    shards: int = option(1, "number of shards the images are scored in; the last to finish merges them")
    shard: int | None = option(None, "index of this shard, from 0; the index in a SLURM array by default")
    threshold: str | None = option(
        None, "threshold.json written by task=threshold; the one in the experiment's folder by default"
    )
    calibration: str | None = option(None, "calibration.json written by task=calibrate; adds the column calibrated")
    prevalence: float | None = option(
        None,
        "expected share of generated images, from 0 to 1; adds the column posterior and prints the precision to expect",
    )
    deliveries: list[str] = option_list(
        "deliveries or presets after which every image is scored again; adds a verdict: [sieve_web,jpeg-50]"
    )
    unsure_band: bool = option(
        True, "whether the verdict is unsure where task=calibrate found scores undecidable (calibrate.sure)"
    )
    unsure_flips: int = option(0, "number of deliveries that may change the decision before the verdict is unsure")
    maps: int = option(0, "number of images for which maps are saved, highest scores first; -1 for all")
    robust: float = option(1.0, "fraction of a map's values that its colours span; 0.99 lets outliers saturate")


@dataclass
class ThresholdOptions:
    """Options of ``task=threshold``."""

    input: str | None = option(
        None, "table of scores: a CSV file with labels, a dump, or an experiment; experiment_id by default"
    )
    column: str | None = option(None, "score that the threshold applies to; the table's first by default")
    rule: str = option(
        "balanced_accuracy",
        "rule that chooses the threshold: best balanced accuracy; a false-positive rate of 1 or 5 % on these images; "
        "or conformal, which bounds that of new real images by threshold.fpr; youden is an older name of "
        "balanced_accuracy",
        ("balanced_accuracy", "youden", "fpr_1", "fpr_5", "conformal"),
    )
    fpr: float = option(0.01, "false-positive rate that rule conformal guarantees")
    by: str = option(
        "photograph",
        "real images for which rule conformal guarantees the rate: all photographs together, or each source alone",
        ("photograph", "source"),
    )
    direction: str = option(
        "auto",
        "whether higher or lower scores mean generated; auto derives it from the labels",
        ("auto", "higher", "lower"),
    )
    label: str = option("label", "label column of a CSV file")
    generated_label: str | None = option(
        None, "value of that column for generated images; 1, generated or fake by default"
    )
    out: str | None = option(None, "folder for threshold.json; experiments_data/<id>/ by default")


@dataclass
class CalibrateOptions:
    """Options of ``task=calibrate``."""

    input: str | None = option(None, "dump to fit the calibration on, or an experiment with a validation dump")
    method: str = option(
        "temperature",
        "function fitted to the logits: a factor (temperature), an offset (shift), both (platt), a factor for each "
        "class and an offset (beta), or any non-decreasing function (isotonic)",
        ("temperature", "platt", "beta", "isotonic", "shift"),
    )
    prior: float | None = option(
        None, "share of generated images that method shift assumes instead of reading labels, such as 0.5"
    )
    sure: float = option(
        0.8, "calibrated probability of being right, 0.5 or more, below which a decision counts as undecidable"
    )
    resamples: int = option(1000, "number of bootstrap resamples for intervals of the metrics")
    store: bool = option(True, "whether to write the calibration into the checkpoint too")
    out: str | None = option(None, "folder for calibration.json; experiments_data/<id>/ by default")


@dataclass
class ReviewOptions:
    """Options of ``task=review``."""

    inputs: list[str] = option_list("dumps or experiments to review: [a.npz,b]")
    people: list[str] = option_list("answers of people, written by task=guess, shown beside the dumps: [me.jsonl]")
    out: str | None = option(None, "folder for the page; review/ beside the first dump by default")
    resamples: int | None = option(
        None, "number of bootstrap resamples for intervals; by default 1000, or no intervals above 500,000 images"
    )
    serve: bool = option(False, "whether to serve the page on this machine, with whole images, until Ctrl-C")
    port: int = option(0, "port to listen on with review.serve=true; 0 takes a free one")


@dataclass
class GuessOptions:
    """Options of ``task=guess``."""

    images: int = option(50, "number of images to show")
    person: str = option("me", "name of the person who answers; each person has a file")
    seed: int = option(0, "random seed of the images and their order")
    reveal: str = option("end", "when the truth is shown: after each answer, or at the end", ("each", "end"))
    against: list[str] = option_list(
        "dumps or experiments to compare the person with; only images that all of them scored are shown"
    )
    port: int = option(0, "port on 127.0.0.1; 0 takes a free one")
    out: str | None = option(None, "folder for answers and results; experiments_data/<id>/guess by default")


@dataclass
class GenerateOptions:
    """Options of ``task=generate``."""

    weights: str | None = option(None, "folder of the weights to sample from (or ckpt=FILE of trained siblings)")
    out: str | None = option(None, "folder for the images; experiments_data/<id>/images by default")
    train: int = option(250, "number of training images from each variant")
    valid: int = option(50, "number of validation images from each variant")
    test: int = option(50, "number of test images from each variant")
    batch: int = option(16, "number of images sampled at once")
    outliers: bool = option(True, "whether to add as many images of the data module, resized, as outliers")


@dataclass
class TraceOptions:
    """Options of ``task=trace``."""

    out: str | None = option(None, "folder for the scores; experiments_data/<id>/ by default")
    cache: str | None = option(None, "folder of cached results, keyed by content; <out>/trace_cache by default")
    fit_on: list[str] = option_list("splits that the decisions are fitted on (and scored on by cross-fitting)", "train")
    decision: str | None = option(None, "fitted decisions of an earlier run, used instead of fitting new ones")
    batch: int = option(16, "number of images in a forward pass")
    block: int = option(256, "number of images in a cached file")
    positions: int = option(64, "number of tokens in a slice of the softmax")
    refused: str = option(
        "stop",
        "treatment of images that no variant can have saved: stop the run, or count them as outliers",
        ("stop", "outlier"),
    )


@dataclass
class ExportTreeOptions:
    """Options of ``task=export_tree``."""

    out: str | None = option(None, "root of the tree; experiments_data/<id>/tree by default")
    reals: str = option("photographs", "name of the set for real images")


@dataclass
class CombineOptions:
    """Options of ``task=combine``."""

    inputs: list[str] = option_list("experiments or dumps whose scores are combined: [a,b]")
    columns: list[str] = option_list("columns taken from each dump; the logit by default")
    rule: str = option(
        "mean",
        "rule for combining scores; stouffer and minimum use p-values among real images",
        ("mean", "calibrated_mean", "rank_mean", "weighted", "stouffer", "minimum"),
    )
    reference: list[str] = option_list("dumps that the rule is fitted on; validation dumps of the inputs by default")
    independence: float = option(0.05, "Cramér's V at which two columns count as dependent")
    published: bool = option(
        False, "whether stouffer and minimum compute p-values as RealStats published them, flaws included"
    )
    checkpoint: str | None = option(
        None, "checkpoint file to write that combines the inputs' best checkpoints; null writes none"
    )
    out: str | None = option(None, "folder for the dump; experiments_data/<id>/ by default")


@dataclass
class CompareOptions:
    """Options of ``task=compare``."""

    inputs: list[str] = option_list("experiments or dumps; the others are compared with the first: [a,b]")
    out: str | None = option(None, "folder for the tables; experiments_data/<id>/compare by default")
    metric: str = option("auroc", "metric of the heat map", ("accuracy", "average_precision", "auroc"))


@dataclass
class LeaderboardOptions:
    """Options of ``task=leaderboard``."""

    inputs: list[str] = option_list("experiments or dumps to show; all tested experiments by default: [a,b.npz]")
    out: str | None = option(None, "folder for the page and its files; experiments_data/leaderboard by default")


@dataclass
class ExplainOptions:
    """Options of ``task=explain``."""

    out: str | None = option(None, "folder for the maps; explain/ beside the dump by default")
    images: int = option(4, "number of images, the most confident ones, from each class and outcome (right or wrong)")
    ids: list[str] = option_list("ids of the images to explain, instead of the most confident ones")


@dataclass
class SweepOptions:
    """Options of ``task=sweep``."""

    file: str | None = option(None, "search in W&B's format: a name in conf/sweep, or a file")
    backend: str = option(
        "local", "search engine: Optuna without a server, or W&B's server and agents", ("local", "wandb")
    )
    runs: int | None = option(None, "number of runs; the file's run_cap by default")
    workers: int = option(1, "number of runs at the same time")
    words: list[str] = option_list("further arguments of every run: [trainer=cpu]")
    study: str | None = option(
        None, "SQLite file of the study, which several workers can share; experiments_data/<id>/study.db by default"
    )
    pruner: str = option(
        "file",
        "pruner that stops poor trials early; file uses the pruner of the search file",
        ("file", "median", "hyperband", "none"),
    )
    id: str | None = option(None, "id of an existing W&B sweep to join")
    project: str = option("pixelproof", "W&B project")


@dataclass
class CandidatesOptions:
    """Options of ``task=candidates``."""

    among: list[str] = option_list("experiments to rank, as names or globs")
    wandb: str | None = option(None, "W&B entity/project whose runs are ranked too")
    tags: list[str] = option_list("W&B tags a run must have")
    filters: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "further filters of W&B runs, in W&B's form: {state: finished}", "choices": ()},
    )
    metric: str = option("val/auroc", "logged metric to rank by; greater is better, except for val/loss")
    gap_weight: float = option(0.0, "penalty for a gap between validation and training loss")
    top: int = option(5, "number of candidates to keep")
    words: list[str] = option_list("arguments changed for retraining: [trainer.max_epochs=30]")
    retrain: bool = option(False, "whether to retrain the candidates, keep the best one and test it")
    workers: int = option(1, "number of runs at the same time")


@dataclass
class ConvertOptions:
    """Options of ``task=convert``."""

    inputs: list[str] = option_list("AI-GenBench's YAML files, in the order its own command takes them")
    out: str | None = option(None, "recipe file to write; <last input>_converted.yaml by default")


@dataclass
class ExportOptions:
    """Options of ``task=export``."""

    out: str | None = option(
        None, "folder to write, beside the checkpoint by default; with the suffix .safetensors, a file of weights alone"
    )
    format: str = option(
        "safetensors",
        "format of the weights: tensors, an ONNX graph, or a program of torch.export",
        ("safetensors", "onnx", "torch_export"),
    )
    precision: str = option(
        "fp32", "bits of a weight: 32, 16 (computed in 32), or 8 (ONNX only)", ("fp32", "fp16", "int8")
    )
    images: int = option(100, "number of labelled images on which the export is compared with the checkpoint")
    licence: str = option("unknown", "licence of the weights, named in the model card")


@dataclass
class ServeOptions:
    """Options of ``task=serve``."""

    further: list[str] = option_list("checkpoints that vote beside ckpt: [b.ckpt]")
    deliveries: list[str] = option_list(
        "deliveries after which a request may have its image scored again; [] for none",
        "messenger-1", "sieve-web", "jpeg-90", "jpeg-75", "jpeg-50", "resize-0.5",
    )  # fmt: skip
    host: str = option("127.0.0.1", "address to listen on; one that other machines can reach needs serve.token")
    port: int = option(0, "port to listen on; 0 takes a free one")
    token: str | None = option(None, "secret that requests must carry")
    max_bytes: int = option(50_000_000, "maximum number of bytes of an accepted file")
    max_pixels: int = option(50_000_000, "maximum number of pixels of a decoded image")
    waiting: int = option(32, "number of images that may wait; further ones are refused")
    batch: int = option(8, "maximum number of waiting images scored together")
    seconds: float = option(60.0, "time limit of a request in seconds")
    keep: str | None = option(None, "folder for images and answers; none are kept by default")


@dataclass
class TuneOptions:
    """Searches of ``task=fit`` before it trains."""

    lr: bool = option(False, "whether to search for a learning rate before training")
    batch_size: bool = option(False, "whether to search for the largest possible batch size before training")
