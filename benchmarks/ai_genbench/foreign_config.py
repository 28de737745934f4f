"""AI-GenBench's own configuration (pipeline, model and local YAML of its LightningCLI) → an experiment of ours.

Every key of theirs has a rule here. A key without a rule, or a value without a counterpart, is an error.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.ai_genbench.foreign_merge import merged, nested
from contracts.errors import ConfigError, nearest

Values = dict[str, Any]  # Values by our dotted keys

WINDOWS = "experiment_info.sliding_windows_definition"
MODES = {"cumulative": "cumulative", "continual_learning": "continual", "none": "full"}
LOGGERS = {
    "TensorBoardLogger": (
        "tensorboard",
        ("save_dir", "version", "log_graph", "default_hp_metric", "prefix", "sub_dir"),
    ),
    "WandbLogger": ("wandb", ("save_dir", "project", "offline", "tags", "job_type")),
    "CSVLogger": ("csv", ("save_dir", "version", "prefix", "flush_logs_every_n_steps")),
}
"""Lightning's loggers: the name of ours, and the arguments that ours accepts too."""
METRICS = {"compute_mechanism", "gt_keys", "pred_keys"}
CALLBACKS: dict[str, set[str] | None] = {
    "DeepFakePredictionsDump": METRICS, "PredictionsDump": METRICS, "MetricsManager": METRICS,
    "MetricsManagerSlidingWindow": METRICS, "ModelCheckpoint": None, "LearningRateMonitor": None,
    "TQDMProgressBar": None, "RichProgressBar": None,
}  # fmt: skip
"""Callbacks whose work our tasks do anyway, with the arguments that do not change it (None: all)."""
MODELS = {"BaseDeepfakeDetectionModel": "baseline", "SoftTrainAugmentationsModel": "soft"}
"""The train pipeline of each of their model classes."""


@dataclass(frozen=True)
class Rule:
    """How one of their keys is converted."""

    to: tuple[str, ...] = ()  # Our keys that get the value; none if we do the same without a key
    by: Callable[[Any], Any] = lambda value: value  # Translates the value
    only: tuple[Any, ...] | None = None  # The only values that have a counterpart; None for any
    neutral: tuple[Any, ...] = ()  # Values equal to our default, for which nothing is written


def same(prefix: str, ours: str, **names: tuple[Any, ...]) -> dict[str, Rule]:
    """Rules for keys that have the same name on both sides, each with its neutral values."""
    return {f"{prefix}.{name}": Rule((f"{ours}.{name}",), neutral=values) for name, values in names.items()}


RULES: dict[str, Rule] = {
    **same(
        "trainer", "trainer", accelerator=("auto",), devices=("auto", -1, "-1"), num_nodes=(1,), strategy=("auto",),
        precision=("32-true", 32, "32"), max_epochs=(), min_epochs=(0, 1), max_steps=(-1,),
        check_val_every_n_epoch=(1,), val_check_interval=(1.0,), log_every_n_steps=(10, 50), gradient_clip_val=(),
        gradient_clip_algorithm=("norm",), sync_batchnorm=(False,), deterministic=(False,), benchmark=(),
        enable_progress_bar=(True,), enable_model_summary=(True,), num_sanity_val_steps=(0,), max_time=(),
        limit_train_batches=(1.0,), limit_val_batches=(1.0,), limit_test_batches=(1.0,), limit_predict_batches=(1.0,),
    ),
    "trainer.inference_mode": Rule(only=(True,)),
    "trainer.enable_checkpointing": Rule(only=(True,)),
    "trainer.use_distributed_sampler": Rule(only=(True, False)),
    "trainer.default_root_dir": Rule(only=()),
    "trainer.overfit_batches": Rule(only=(0,)),
    "trainer.fast_dev_run": Rule(only=(False,)),
    "trainer.reload_dataloaders_every_n_epochs": Rule(only=(0,)),
    "trainer.barebones": Rule(only=(False,)),
    "trainer.detect_anomaly": Rule(only=(False,)),
    "trainer.plugins": Rule(only=()),
    "trainer.profiler": Rule(only=()),
    "data.class_path": Rule(by=lambda path: _last(path), only=("AIGenBenchPipeline",)),
    "data.dataset_loader.class_path": Rule(by=lambda path: _last(path), only=("AIGenBenchDatasetLoader",)),
    "data.dataset_loader.dataset_path": Rule(("datamodule.path",)),
    "data.dataset_path": Rule(("datamodule.path",)),
    "data.num_workers": Rule(("datamodule.num_workers",)),
    "data.train_batch_size": Rule(("datamodule.batch_size",)),
    "data.eval_batch_size": Rule(("datamodule.eval_batch_size",)),
    "data.val_batch_size": Rule(("datamodule.eval_batch_size",)),
    "data.deterministic_augmentations": Rule(only=(True,)),
    "data.augmentation_factor": Rule(("benchmark.augmentation_factor",)),
    "data.augmentations_base_seed": Rule(("benchmark.base_seed",), neutral=(4321,)),
    "data.maximum_processing_size": Rule(("benchmark.maximum_size",), neutral=(1080,)),
    **{f"data.{split}_subset_size": Rule(only=(0, None)) for split in ("train", "validation", "val", "eval", "test")},
    "model.class_path": Rule(by=lambda path: _last(path), only=tuple(MODELS)),
    "model.model_name": Rule(("detector.backbone",)),
    "model.model_input_size": Rule(("benchmark.crop_size", "detector.image_size"), lambda size: _side(size)),
    "model.training_cropping_strategy": Rule(("benchmark.train_cropping",)),
    "model.evaluation_cropping_strategy": Rule(("benchmark.eval_cropping",)),
    "model.classification_threshold": Rule(only=(0.5,)),
    "model.training_task": Rule(only=("binary",)),
    "model.pretrained": Rule(("detector.pretrained",)),
    **same(
        "optimizer", "detector.optimizer", lr=(), momentum=(), weight_decay=(), nesterov=(False,), betas=(), eps=(),
        dampening=(0,), amsgrad=(False,), maximize=(False,), foreach=(), fused=(), differentiable=(False,),
    ),
    "optimizer.class_path": Rule(("detector.optimizer._target_",), lambda path: f"torch.optim.{_last(path)}"),
    "lr_scheduler.class_path": Rule(by=lambda path: _last(path), only=("OneCycleLR",)),
    "lr_scheduler.pct_start": Rule(("detector.scheduler.warmup",)),
    "lr_scheduler.div_factor": Rule(("detector.scheduler.start_divisor",)),
    "lr_scheduler.final_div_factor": Rule(("detector.scheduler.final_divisor",)),
    "lr_scheduler.anneal_strategy": Rule(only=("cos",)),
    "lr_scheduler.cycle_momentum": Rule(only=(True,)),
    "experiment_info.experiment_id": Rule(("experiment_id",), str),
    f"{WINDOWS}.n_generators_per_window": Rule(("benchmark.window_size",), neutral=(0, 4)),
    f"{WINDOWS}.current_window": Rule(only=()),
    f"{WINDOWS}.benchmark_type": Rule(("benchmark.mode",), lambda kind: _mode(kind)),
}  # fmt: skip

SPECIAL = {
    "seed_everything", "trainer.accumulate_grad_batches", "trainer.logger", "trainer.callbacks", "lr_scheduler.max_lr",
}  # fmt: skip
"""Keys that need more than their own value."""

MOVED = {"model.optimizer": "optimizer", "model.scheduler": "lr_scheduler", "model.lr_scheduler": "lr_scheduler"}
"""Other places of the optimiser and its schedule in their files; a plain word there names a class."""


def converted(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An experiment in plain nested containers, without its defaults list; ``logger`` holds settings by logger.

    Args:
        documents: Contents of their files and options, in the order of the command line; later ones win.

    Raises:
        ConfigError: Keys or values without a counterpart; the error names each.
    """
    theirs = _places(merged(documents))
    problems, ours = [], _recipe()
    for key, value in theirs.items():
        if key in SPECIAL:
            continue
        rule = RULES.get(key)
        if rule is None:
            problems.append(f"{key} is unknown; {nearest(key, [*RULES, *SPECIAL], 2)}")
        elif value is None:
            continue  # Lightning's default, or theirs
        elif rule.only is not None and rule.by(value) not in rule.only:
            problems.append(f"{key}={value!r}: only {' or '.join(map(str, rule.only or (None,)))} has a counterpart")
        elif not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in rule.neutral):
            ours |= dict.fromkeys(rule.to, rule.by(value))
    problems += _special(theirs, ours)
    if problems:
        shown = "\n    ".join(problems)
        count = f"{len(problems)} setting{'s' * (len(problems) > 1)}"
        raise ConfigError(f"{count} of AI-GenBench cannot be converted:\n    {shown}", "Remove or correct them.")
    return merged([nested(key, value) for key, value in ours.items()])


def _places(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted key, without ``init_args``; the optimiser and its schedule at the top level."""
    theirs: dict[str, Any] = {}
    for key, value in _leaves(settings):
        old = next((old for old in MOVED if key == old or key.startswith(f"{old}.")), None)
        place = key if old is None else MOVED[old] + key.removeprefix(old)
        for bare in ("data", "model", "optimizer", "lr_scheduler"):
            place = f"{bare}.class_path" if place == bare else place
        theirs[place] = value
    return theirs


def _recipe() -> Values:
    """Our values for what their code does by default."""
    return {
        "seed": 0,
        "benchmark.mode": "full",
        "benchmark.train_cropping": "resize",
        "benchmark.eval_cropping": "resize",
        "detector.image_size": 224,
        "detector.normalisation": "clip",
    }


def _special(theirs: Mapping[str, Any], ours: Values) -> list[str]:
    problems = [
        f"{key} is not given" for key in ("model.model_name", "optimizer.class_path") if theirs.get(key) is None
    ]
    seed = theirs.get("seed_everything", True)
    ours["seed"] = 0 if seed is None or isinstance(seed, bool) else int(seed)  # Lightning reads true as 0
    ours["datamodule.batch_size"] = batch = int(ours.get("datamodule.batch_size", 128))
    accumulated = theirs.get("trainer.accumulate_grad_batches") or 1
    ours["benchmark.global_batch"] = batch * int(accumulated) * _devices(theirs)
    ours["benchmark.train_pipeline"] = MODELS.get(_last(theirs.get("model.class_path")), "baseline")
    if theirs.get(f"{WINDOWS}.n_generators_per_window") == 0:
        ours["benchmark.mode"] = "full"  # the generators are not divided into windows
    ours["detector.optimizer._partial_"] = True
    if theirs.get("lr_scheduler.class_path") is not None:
        ours |= {
            "detector.scheduler._target_": "detectors.parts.training.schedules.OneCycle",
            "detector.scheduler._partial_": True,
            "detector.scheduler_steps": "total_steps",
        }
        peak, lr = theirs.get("lr_scheduler.max_lr"), theirs.get("optimizer.lr")
        if peak is not None and peak != lr:
            problems.append(f"lr_scheduler.max_lr={peak} differs from optimizer.lr={lr}: here both are one key")
    return problems + _loggers(theirs.get("trainer.logger"), ours) + _callbacks(theirs.get("trainer.callbacks"))


def _devices(theirs: Mapping[str, Any]) -> int:
    """Number of devices that the files give; 1 for "auto"."""
    devices = theirs.get("trainer.devices")
    if isinstance(devices, str) and devices.lstrip("-").isdigit():
        devices = int(devices)
    if isinstance(devices, list):
        devices = len(devices)
    count = devices if isinstance(devices, int) and devices > 0 else 1
    return count * int(theirs.get("trainer.num_nodes") or 1)


def _loggers(given: Any, ours: Values) -> list[str]:
    problems = _unknown("trainer.logger", given, LOGGERS)
    ours["logger"] = {}
    for name, arguments in _members(given):
        if name not in LOGGERS:
            continue
        word, known = LOGGERS[name]
        unknown = [key for key in arguments if key not in known]
        problems += [f"trainer.logger {name}.{key} is unknown; {nearest(key, known, 2)}" for key in unknown]
        ours["logger"][word] = {key: value for key, value in arguments.items() if key in known and value is not None}
    return problems


def _callbacks(given: Any) -> list[str]:
    problems = _unknown("trainer.callbacks", given, CALLBACKS)
    for name, arguments in _members(given):
        if (known := CALLBACKS.get(name)) is not None:
            problems += [f"trainer.callbacks {name}.{key} is unknown" for key in arguments if key not in known]
    return problems


def _unknown(key: str, given: Any, known: Container[str]) -> list[str]:
    """Problems of a list's classes that are unknown or not named."""
    return [
        f"{key} {name} is unknown" if name else f"{key}[{place}] has no class_path"
        for place, (name, _) in enumerate(_members(given))
        if name not in known
    ]


def _leaves(node: Any, place: str = "") -> list[tuple[str, Any]]:
    """Values by dotted key, without ``init_args``; lists are values."""
    if isinstance(node, Mapping) and node:
        pairs = []
        for key, value in node.items():
            inner = place if key == "init_args" else f"{place}.{key}" if place else str(key)
            pairs += _leaves(value, inner)
        return pairs
    return [] if isinstance(node, Mapping) else [(place, node)]


def _members(given: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """Class names and arguments of a list of ``class_path`` entries (or of one, or of none)."""
    if given in (None, True, False):
        return []
    found: list[tuple[str, Mapping[str, Any]]] = []
    for one in given if isinstance(given, list) else [given]:
        entry = one if isinstance(one, Mapping) else {"class_path": one}
        found.append((_last(entry.get("class_path")), entry.get("init_args") or entry.get("dict_kwargs") or {}))
    return found


def _last(path: Any) -> str:
    return str(path).rpartition(".")[2] if path else ""


def _side(size: Any) -> int:
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) != 1:
        raise ConfigError(f"model.model_input_size={size} is not square", "Give one side, or two equal ones.")
    return int(sides.pop())


def _mode(kind: Any) -> str:
    if kind not in MODES:
        raise ConfigError(f"benchmark_type={kind!r} is unknown", nearest(str(kind), MODES))
    return MODES[kind]
