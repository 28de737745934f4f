"""Loading a detector and scoring rows, shared by fit, validate, test and predict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf
from rich.console import Console

from benchmarks.calibration.stored import Stored, stored
from benchmarks.predictions import Predictions
from callbacks.collector import Collector
from callbacks.passport import passport
from callbacks.preemption import Preemption, cluster_plugins, without_own_signals
from callbacks.reporting.progress_lines import ProgressLines
from callbacks.reporting.quiet import quieten
from conf.build import TRAINING_ONLY, build_for_scoring
from conf.cli.typed import typed_node
from conf.cli.words import parse
from conf.keys.targets import current
from conf.keys.written import typed_characters
from contracts.errors import CheckpointError, ConfigError, DataError
from contracts.process.lightning import as_lightning
from contracts.process.memory import keep_freed_memory
from contracts.stage import Rows
from contracts.words import counted
from detectors.base import Detector, Training
from detectors.ensemble.detector import Ensemble
from detectors.parts.exported_folder import weights_file
from detectors.parts.weights import load_weights, read_checkpoint, tensors_hash
from tasks.checking.ordinary import ordinary_device
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import file_hash
from tasks.scoring.scorer import Scorer, needs_trainer

if TYPE_CHECKING:
    import pytorch_lightning as L

TRAINING = ("train_view", *Training.__annotations__)  # Options of a detector that its scores do not depend on
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "numpy", "pillow", "timm", "pixelproof")


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on."""
    return {name: version(name) for name in PACKAGES}


def config_hash(resolved: Mapping[str, Any]) -> str:
    """Hash (BLAKE2b, 16 hex digits) of a resolved configuration."""
    return blake2b(json.dumps(resolved, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Loaded:
    """A detector with its weights."""

    detector: Detector  # in a state to score
    path: Path  # the checkpoint
    sha256: str  # its hash
    about: dict[str, Any]  # the checkpoint's own entry (threshold, seen generators); empty for foreign weights
    node: Mapping[str, Any] = field(default_factory=dict)  # configuration that the detector was built from
    calibration: Stored | None = None  # turns its scores into probabilities (``calibrated=true``); or None

    @property
    def threshold(self) -> float | None:
        """The threshold on P(generated) chosen on validation images; None if the checkpoint has none."""
        chosen = self.about.get("threshold")
        return float(chosen["value"]) if chosen else None

    @cached_property
    def weights(self) -> str:
        """SHA-256 of the weights (names, types, shapes, values); other entries of the checkpoint do not change it."""
        return tensors_hash(self.detector.net.state_dict())

    @property
    def options(self) -> str:
        """Hash of the detector's options, without those that only training uses."""
        return config_hash({key: value for key, value in self.node.items() if key not in TRAINING})


def load_detector(run: Run, path: Path) -> Loaded:
    """The detector of a checkpoint, built from the checkpoint's own description if it has one, else as configured."""
    content = read_checkpoint(path)
    entry = passport(content, path)
    configured = run.composed.resolved["detector"]
    node = _asked(entry["detector"], run, path) if entry else configured
    detector = build_for_scoring(node, from_checkpoint=node != configured)
    if entry and isinstance(detector, Ensemble):
        entry = Ensemble.described(entry, detector.rule, path)
    load_weights(detector, path)
    loaded = Loaded(detector, path, file_hash(weights_file(path)), entry or {}, node)
    return with_calibration(loaded) if run.config.calibrated else loaded


def with_calibration(loaded: Loaded) -> Loaded:
    """The detector with its checkpoint's calibration, by which its threshold is converted too.

    Raises:
        CheckpointError: the checkpoint has none, or one for other weights or options.
    """
    content = loaded.about.get("calibration")
    if content is None:
        raise CheckpointError(
            f"{loaded.path} has no calibration for calibrated=true",
            "Run task=calibrate calibrate.input=DUMP on a validation dump of it first.",
        )
    try:
        found = stored(content)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{loaded.path}: its calibration cannot be used: {error}", "Run task=calibrate."
        ) from error
    found.refuse_other(loaded.weights, loaded.options, loaded.path)
    chosen = loaded.about.get("threshold")
    moved = chosen and {**chosen, "value": found.threshold(float(chosen["value"]))}
    return replace(loaded, about={**loaded.about, "threshold": moved}, calibration=found)


def _asked(node: Mapping[str, Any], run: Run, path: Path) -> dict[str, Any]:
    """A checkpoint's own detector configuration with the command line's changes.

    Raises:
        CheckpointError: the command line chooses another detector than the checkpoint's.
        ConfigError: it sets a key below one that the checkpoint's detector was built without.
    """
    words = [word for word in parse(run.composed.overrides) if word.key_or_group.split(".")[0] == "detector"]
    wanted = run.composed.resolved["detector"].get("_target_")
    if any(word.key_or_group == "detector" for word in words) and wanted != current(node.get("_target_")):
        raise CheckpointError(
            f"{path} contains {node.get('_target_')}, and detector= chooses {wanted}", "Remove detector=."
        )
    config = OmegaConf.create(dict(node))
    for word in words:
        if word.key_or_group != "detector":
            key = word.key_or_group.removeprefix("detector.")
            holder, _, name = key.rpartition(".")
            top = holder.partition(".")[0]
            if holder and top not in TRAINING_ONLY and not OmegaConf.is_config(OmegaConf.select(config, holder)):
                value = "null" if word.value() is None else typed_characters(word.value())
                kind = "contracts.view.View" if holder.endswith("_view") else "CLASS"
                raise ConfigError(
                    f"detector.{key}={value}: the detector of {path} was built without {holder}",
                    f"Set all of it: 'detector.{holder}={{_target_: {kind}, {name}: {value}}}'.",
                )
            OmegaConf.update(config, key, word.value(), force_add=True)
    laid = OmegaConf.to_container(config)
    return typed_node({str(key): value for key, value in laid.items()}) if isinstance(laid, dict) else dict(node)


def quiet_trainer(run: Run, *callbacks: L.Callback, scored: Sequence[Any] = (), **extra: Any) -> Any:
    """The configured trainer with our checkpoint plugin, signal handling and progress display.

    Args:
        run: the experiment.
        callbacks: further ones.
        scored: detector and data module of ``task=test`` or ``predict``, for which a `Scorer` may replace the trainer.
        extra: arguments of the trainer.
    """
    if not any(isinstance(callback, Preemption) for callback in callbacks):
        callbacks = (*callbacks, Preemption())
    node, task = run.composed.resolved["trainer"], run.config.task
    ours = scored and all(isinstance(one, Collector | Preemption) for one in callbacks)
    verb = "test" if task == "test" else "predict"
    device = ordinary_device(node) if ours and not any(needs_trainer(one, verb) for one in scored) else None
    wanted = bool(node.get("enable_progress_bar", True))
    given = device is None and _has_bar(callbacks)
    terminal = Console().is_terminal or Console().is_jupyter
    log = run.logs / run.experiment_id / "log.txt" if task in ("fit", "test", "validate") else None
    callbacks = (*callbacks, ProgressLines(log, shown=wanted and not given and not terminal))
    if device is not None:
        return Scorer(callbacks, device, node.get("precision"), bar=wanted and terminal)
    from callbacks.checkpoint_io import AtomicCheckpointIO
    from callbacks.reporting.progress import NoBar, Progress

    if wanted and not given:
        callbacks = (*callbacks, Progress() if terminal else NoBar())
    quieten()
    plugins = [AtomicCheckpointIO(), *cluster_plugins()]
    own = [as_lightning(callback) for callback in callbacks]
    trainer = without_own_signals(run.trainer(callbacks=own, plugins=plugins, enable_checkpointing=False, **extra))
    if trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    return trainer


def _has_bar(callbacks: Sequence[L.Callback]) -> bool:
    from pytorch_lightning.callbacks import ProgressBar  # slow

    return any(isinstance(callback, ProgressBar) for callback in callbacks)


def score(
    trainer: Any, detector: Detector, datamodule: Any, rows: Rows, collector: Collector, verb: str
) -> Predictions | None:
    """Scores of some rows of the data module's manifest: on rank 0 all of them, elsewhere None.

    Args:
        trainer: with ``collector`` among its callbacks.
        detector: with its weights.
        datamodule: set to the detector's views (`ImageDataModule.use`).
        rows: to be scored.
        collector: gathers the predictions.
        verb: "validate", "test" or "predict".

    Raises:
        DataError: a row is missing from both the predictions and the failures.
    """
    if verb not in ("validate", "test", "predict"):
        raise ConfigError(f"verb={verb!r} does not score images", "Use validate, test or predict.")
    if verb != "validate":
        datamodule.evaluate(rows)
    if isinstance(trainer, Scorer):
        trainer.score(verb, detector, datamodule)
    else:
        silent = {"return_predictions": False} if verb == "predict" else {"verbose": False}
        getattr(trainer, verb)(as_lightning(detector), datamodule=as_lightning(datamodule), **silent)
    predictions = collector.predictions
    wanted = set(datamodule.manifest().column("id")[rows].tolist())
    failed = [failure for failure in collector.failures if failure.id in wanted]  # not those of training
    if predictions is not None and len(predictions) + len(failed) != len(rows):
        raise DataError(
            f"of {counted(len(rows), 'image')}, {len(predictions):,} were scored and {len(failed):,} could not be read",
            "Report this bug: an image was lost between the ranks.",
        )
    return predictions


def with_provenance(predictions: Predictions, run: Run, loaded: Loaded, datamodule: Any, stage: str) -> Predictions:
    """The predictions with a record of their origin."""
    data = run.composed.resolved["datamodule"]
    about = {
        "experiment": run.experiment_id,
        "stage": stage,
        "protocol": {
            "benchmark": str(run.composed.resolved["benchmark"]["_target_"]).rpartition(".")[2],
            "data": f"{type(datamodule).__name__} {Path(str(data.get('path') or '')).name}".strip(),
            "align": data.get("align"),
        },
        "config_hash": config_hash(run.composed.resolved),
        "detector": dict(loaded.node) or run.composed.resolved["detector"],
        "checkpoint": str(loaded.path),
        "checkpoint_sha256": loaded.sha256,
        "weights_sha256": loaded.weights,
        "detector_hash": loaded.options,
        "threshold": loaded.threshold,
        "seen_generators": loaded.about.get("seen_generators"),
        "seed": run.config.seed,
        "decoder": datamodule.decoder,
        "versions": versions(),
    }
    if loaded.detector.sources:
        about["families"] = dict(loaded.detector.sources)
    if loaded.calibration is not None:
        predictions = loaded.calibration.applied(predictions)
        about["calibration"] = {"method": loaded.calibration.method, "share": loaded.calibration.calibration.share}
    return replace(predictions, provenance=json.dumps(about, sort_keys=True))
