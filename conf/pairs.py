"""Settings that are valid alone but not together."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from conf.compose import Composed
from conf.keys.signatures import Signature, signature
from conf.keys.targets import is_own
from conf.training import partly_scored, untrained, unvalidated
from contracts.errors import ConfigError
from contracts.process.stop import slurm_started

MIXED = ("bf16-mixed", "16-mixed", "bf16", "16", 16)


def impossible_pairs(composed: Composed, used: Sequence[str]) -> Iterator[ConfigError]:
    """Combinations that would fail or hang after minutes of work."""
    config = composed.config
    if "trainer" in used:
        yield from _devices(config.trainer)
        yield from _strategy(config.trainer)
        yield from _sync_batchnorm(config.trainer)
        yield from partly_scored(config.trainer, config.task in ("fit", "doctor"))
    if config.task in ("fit", "doctor"):
        yield from untrained(config.trainer)
        yield from unvalidated(config.trainer)
        yield from _fused_clipping(config.trainer, config.detector)
        yield from _mixed_sizes(config.detector, config.datamodule)
    for group in ("datamodule", "detector"):
        if group in used and config.task != "doctor":
            yield from _serves(group, composed.resolved[group], config.task)


def _fused_clipping(trainer: dict[str, Any], detector: dict[str, Any]) -> Iterator[ConfigError]:
    """Lightning refuses, only in the first step, to clip gradients that a fused optimiser unscales (PL#21435)."""
    if trainer.get("precision") in MIXED and trainer.get("gradient_clip_val") and _has(detector, "fused", True):
        yield ConfigError(
            f"a fused optimiser, trainer.precision={trainer['precision']} and "
            f"trainer.gradient_clip_val={trainer['gradient_clip_val']} cannot be combined",
            "Set one: detector.optimizer.fused=false, trainer.precision=32-true, or trainer.gradient_clip_val=null.",
        )


def _has(node: Any, key: str, value: Any) -> bool:
    if isinstance(node, dict):
        return node.get(key) == value or any(_has(inner, key, value) for inner in node.values())
    return isinstance(node, list) and any(_has(inner, key, value) for inner in node)


def _mixed_sizes(detector: dict[str, Any], datamodule: dict[str, Any]) -> Iterator[ConfigError]:
    view = detector.get("train_view")
    if not isinstance(view, dict) or view.get("resize") or view.get("crop") or view.get("equal_sizes"):
        return
    batch = datamodule.get("batch_size", _default_batch(datamodule))
    if isinstance(batch, int) and batch > 1:
        yield ConfigError(
            f"detector.train_view keeps native sizes, and datamodule.batch_size={batch}: images of different sizes "
            "cannot share a batch",
            "Set detector.train_view.crop or .resize, or datamodule.batch_size=1.",
        )


def _default_batch(datamodule: dict[str, Any]) -> int:
    parameter = _signature(datamodule).parameters.get("batch_size")
    return int(parameter.default) if parameter and parameter.default.isdigit() else 1


def _serves(group: str, node: dict[str, Any], task: str) -> Iterator[ConfigError]:
    """A class that does not support every task lists those it does in its class attribute ``serves``."""
    serves = _signature(node).attributes.get("serves")
    if serves is not None and task not in serves:
        yield ConfigError(
            f"{node['_target_']} does not serve task={task}, only {', '.join(serves)}",
            f"Choose another {group}=NAME (see --help).",
        )


def _signature(node: dict[str, Any]) -> Signature:
    """The signature of a node's class of ours; empty for other classes and for wrong names (see `conf.check`)."""
    target = node.get("_target_")
    try:
        return signature(target) if isinstance(target, str) and is_own(target) else Signature({})
    except ConfigError:
        return Signature({})


def _strategy(trainer: dict[str, Any]) -> Iterator[ConfigError]:
    """With some strategies the scores would stay in child processes and never reach the process that writes them."""
    strategy = trainer.get("strategy")
    if isinstance(strategy, str) and {"spawn", "fork", "notebook"} & set(strategy.split("_")):
        yield ConfigError(
            f"trainer.strategy={strategy} trains in child processes whose results are lost",
            "Set trainer.strategy=ddp, which starts the command once for each device.",
        )


def _sync_batchnorm(trainer: dict[str, Any]) -> Iterator[ConfigError]:
    """SyncBatchNorm does not accept CPU tensors, and raises its error only in the first step."""
    if trainer.get("sync_batchnorm") and trainer.get("accelerator") == "cpu":
        processes = _local_devices(trainer.get("devices", "auto"), "cpu") * trainer.get("num_nodes", 1)
        if processes > 1:
            yield ConfigError(
                f"trainer.sync_batchnorm=true on {processes} CPU processes: only GPUs can synchronise batch norm",
                "Set trainer.sync_batchnorm=false, or trainer.accelerator=gpu.",
            )


def _devices(trainer: dict[str, Any]) -> Iterator[ConfigError]:
    """Inside a SLURM job, srun starts one rank for each task."""
    asked, nodes = trainer.get("devices", "auto"), trainer.get("num_nodes", 1)
    devices = _local_devices(asked, str(trainer.get("accelerator", "auto")))
    tasks = os.environ.get("SLURM_NTASKS")
    counted = isinstance(asked, int) and (devices > 1 or "SLURM_STEP_ID" in os.environ)
    if tasks and slurm_started(os.environ) and counted and int(tasks) != devices * nodes:
        yield ConfigError(
            f"trainer.devices={devices} on {nodes} node(s), but the SLURM job has {tasks} task(s): inside a job "
            "srun starts the ranks, not Lightning",
            "Use srun, with --ntasks-per-node equal to trainer.devices.",
        )


def _local_devices(asked: Any, accelerator: str) -> int:
    """Devices on this machine, counted without importing torch; "auto" and -1 mean all GPUs, or one CPU."""
    if isinstance(asked, list):
        return len(asked)
    if isinstance(asked, str) and "," in asked:
        return len([part for part in asked.split(",") if part.strip()])
    if str(asked).isdigit():
        return int(asked)
    if accelerator not in ("auto", "gpu", "cuda"):
        return 1
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return max(1, len([name for name in visible.split(",") if name.strip()]))
    listed = Path("/proc/driver/nvidia/gpus")
    return max(1, len(list(listed.iterdir())) if listed.is_dir() else 0)
