"""AI-GenBench's own configuration (pipeline, model and local YAML of its LightningCLI) → an experiment of ours.

Every key of theirs has a rule here; one that has none, or a value that nothing of ours does, is an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.errors import ConfigError, nearest

Values = dict[str, Any]
"""Dotted keys of ours to values."""

MODES = {"cumulative": "cumulative", "continual_learning": "continual", "none": "full"}
LOGGERS = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb", "CSVLogger": "csv"}
CALLBACKS = {
    "PredictionsDump", "MetricsManager", "MetricsManagerSlidingWindow", "ModelCheckpoint", "LearningRateMonitor",
    "TQDMProgressBar", "RichProgressBar",
}  # fmt: skip
"""What these do is part of our tasks."""
MODELS = {"SoftTrainAugmentationsModel": "soft"}
"""Model classes by train pipeline; all others train with the baseline."""


@dataclass(frozen=True)
class Rule:
    """What one key of theirs becomes.

    Attributes:
        to: Keys of ours that get the value; none where ours does the same without a key.
        by: Translates the value.
        only: The only values for which ours does the same; None for any.
    """

    to: tuple[str, ...] = ()
    by: Callable[[Any], Any] = lambda value: value
    only: tuple[Any, ...] | None = None


def same(prefix: str, ours: str, *names: str) -> dict[str, Rule]:
    """Rules for keys that have the same name on both sides."""
    return {f"{prefix}.{name}": Rule((f"{ours}.{name}",)) for name in names}


RULES: dict[str, Rule] = {
    **same(
        "trainer", "trainer", "accelerator", "devices", "num_nodes", "strategy", "precision", "max_epochs",
        "min_epochs", "max_steps", "check_val_every_n_epoch", "log_every_n_steps", "gradient_clip_val",
        "gradient_clip_algorithm", "sync_batchnorm", "deterministic", "benchmark", "enable_progress_bar",
        "num_sanity_val_steps",
    ),
    "trainer.inference_mode": Rule(only=(True,)),
    "trainer.enable_checkpointing": Rule(only=(True,)),
    "trainer.use_distributed_sampler": Rule(only=(True, False)),
    "trainer.default_root_dir": Rule(only=(None,)),
    "data.dataset_path": Rule(("datamodule.path",)),
    "data.num_workers": Rule(("datamodule.num_workers",)),
    "data.train_batch_size": Rule(("datamodule.batch_size",)),
    "data.eval_batch_size": Rule(("datamodule.eval_batch_size",)),
    "data.val_batch_size": Rule(("datamodule.eval_batch_size",)),
    "data.deterministic_augmentations": Rule(only=(True,)),
    "data.augmentation_factor": Rule(("benchmark.augmentation_factor",)),
    "data.augmentations_base_seed": Rule(("benchmark.base_seed",)),
    "data.maximum_processing_size": Rule(("benchmark.maximum_size",)),
    **{f"data.{split}_subset_size": Rule(only=(0, None)) for split in ("train", "val", "eval", "test")},
    "model.model_name": Rule(("detector.backbone",)),
    "model.model_input_size": Rule(("benchmark.crop_size", "detector.image_size"), lambda size: _side(size)),
    "model.training_cropping_strategy": Rule(("benchmark.train_cropping",)),
    "model.evaluation_cropping_strategy": Rule(("benchmark.eval_cropping",)),
    "model.classification_threshold": Rule(only=(0.5,)),
    "model.training_task": Rule(only=("binary",)),
    "model.pretrained": Rule(("detector.pretrained",)),
    **same("optimizer", "detector.optimizer", "lr", "momentum", "weight_decay", "nesterov", "betas", "eps"),
    "lr_scheduler.pct_start": Rule(("detector.scheduler.warmup",)),
    "lr_scheduler.div_factor": Rule(("detector.scheduler.start_divisor",)),
    "lr_scheduler.final_div_factor": Rule(("detector.scheduler.final_divisor",)),
    "lr_scheduler.anneal_strategy": Rule(only=("cos",)),
    "lr_scheduler.cycle_momentum": Rule(only=(True,)),
    "experiment_info.experiment_id": Rule(("experiment_id",)),
    "experiment_info.sliding_windows_definition.n_generators_per_window": Rule(("benchmark.window_size",)),
    "experiment_info.sliding_windows_definition.current_window": Rule(only=(None,)),
    "experiment_info.sliding_windows_definition.benchmark_type": Rule(("benchmark.mode",), lambda kind: _mode(kind)),
}  # fmt: skip

SPECIAL = {
    "seed_everything", "trainer.accumulate_grad_batches", "trainer.logger", "trainer.callbacks", "lr_scheduler.max_lr",
    "model.class_path", "data.class_path", "optimizer.class_path", "lr_scheduler.class_path",
}  # fmt: skip
"""Keys that need more than their own value."""


def converted(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An experiment in plain, nested containers, without its defaults list.

    Args:
        documents: Their files' contents in the order of ``--config``; later ones win.

    Raises:
        ConfigError: Naming each key or value of theirs that has no counterpart.
    """
    theirs: dict[str, Any] = {}
    for document in documents:
        theirs |= dict(_leaves(document))
    problems, ours = [], _recipe()
    for key, value in theirs.items():
        if key in SPECIAL:
            continue
        rule = RULES.get(key)
        if rule is None:
            problems.append(f"{key} is unknown; {nearest(key, [*RULES, *SPECIAL], 2)}")
        elif rule.only is not None and value not in rule.only:
            problems.append(f"{key}={value!r}: only {' or '.join(map(repr, rule.only))} has a counterpart")
        elif value is not None:
            ours |= dict.fromkeys(rule.to, rule.by(value))
    problems += _special(theirs, ours)
    if problems:
        shown = "\n    ".join(problems)
        raise ConfigError(
            f"{len(problems)} settings of AI-GenBench's cannot be converted:\n    {shown}", "Remove them."
        )
    return _nested(ours)


def _recipe() -> Values:
    """What their code does without a key."""
    return {
        "seed": 0,
        "benchmark.mode": "full",
        "benchmark.train_pipeline": "baseline",
        "detector.image_size": 224,
        "detector.normalisation": "clip",
    }


def _special(theirs: Mapping[str, Any], ours: Values) -> list[str]:
    problems: list[str] = []
    seed = theirs.get("seed_everything", True)
    ours["seed"] = 0 if isinstance(seed, bool) else int(seed)  # Lightning takes true for 0
    batch = ours.get("datamodule.batch_size", 128)
    ours["benchmark.global_batch"] = batch * int(theirs.get("trainer.accumulate_grad_batches", 1))
    unknown: list[str] = []
    ours["logger"] = []
    for name in _classes(theirs.get("trainer.logger")):
        (ours["logger"] if name in LOGGERS else unknown).append(LOGGERS.get(name, f"trainer.logger {name} is unknown"))
    unknown += [
        f"trainer.callbacks {n} is unknown" for n in _classes(theirs.get("trainer.callbacks")) if n not in CALLBACKS
    ]
    problems += unknown
    ours["benchmark.train_pipeline"] = MODELS.get(_last(theirs.get("model.class_path")), "baseline")
    optimizer = _last(theirs.get("optimizer.class_path"))
    if optimizer:
        ours |= {"detector.optimizer._target_": f"torch.optim.{optimizer}", "detector.optimizer._partial_": True}
    scheduler = _last(theirs.get("lr_scheduler.class_path"))
    if scheduler and scheduler != "OneCycleLR":
        problems.append(f"lr_scheduler.class_path={scheduler}: only OneCycleLR has a counterpart")
    elif scheduler:
        ours |= {
            "detector.scheduler._target_": "detectors.schedules.OneCycle",
            "detector.scheduler._partial_": True,
            "detector.scheduler_steps": "total_steps",
        }
        peak, lr = theirs.get("lr_scheduler.max_lr"), theirs.get("optimizer.lr")
        if peak is not None and peak != lr:
            problems.append(f"lr_scheduler.max_lr={peak} with optimizer.lr={lr}: ours has one rate, the cycle's peak")
    return problems


def _leaves(node: Any, place: str = "") -> list[tuple[str, Any]]:
    """Dotted keys with ``init_args`` hoisted; lists are values."""
    if isinstance(node, Mapping) and node:
        pairs = []
        for key, value in node.items():
            inner = place if key == "init_args" else f"{place}.{key}" if place else str(key)
            pairs += _leaves(value, inner)
        return pairs
    return [] if isinstance(node, Mapping) else [(place, node)]


def _nested(values: Values) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *parents, last = key.split(".")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return nested


def _classes(members: Any) -> list[str]:
    """Class names of a list of ``class_path`` entries (or of one, or of none)."""
    if members in (None, True, False):
        return []
    listed = members if isinstance(members, list) else [members]
    return [_last(one.get("class_path") if isinstance(one, Mapping) else one) for one in listed]


def _last(path: Any) -> str:
    return str(path).rpartition(".")[2] if path else ""


def _side(size: Any) -> int:
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) != 1:
        raise ConfigError(f"model.model_input_size={size} is no square", "Ours takes squares alone.")
    return int(sides.pop())


def _mode(kind: Any) -> str:
    if kind not in MODES:
        raise ConfigError(f"benchmark_type={kind!r} is unknown", nearest(str(kind), MODES))
    return MODES[kind]
