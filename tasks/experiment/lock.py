"""An experiment keeps its first resolved configuration; resuming with another one is an error."""

import ast
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from conf.cli.grammar import as_word
from conf.cli.typed import typed_config
from conf.keys.schema import VERB_OPTIONS
from conf.keys.signatures import signature
from conf.keys.targets import is_own
from conf.sources import leaves
from contracts.errors import ConfigError, PixelProofError
from contracts.files import write_atomically
from contracts.words import counted
from tasks.experiment.run import LOCK

FREE = (
    "task",
    "calibrated",
    "local",
    "logger",
    "metrics",
    *(verb for verb in VERB_OPTIONS if verb != "tune"),
    "benchmark.tables",
    "benchmark.size_policy",
    "benchmark.method",
    "callbacks.explain",
    "datamodule.align_cache",
    "datamodule.num_workers",
    "datamodule.path",
    "trainer.devices",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "launcher",
    "trainer.num_nodes",
    "callbacks.preemption",
    "callbacks.history",
    "callbacks.checkpoints.minutes",
    "callbacks.checkpoints.keep",
)
"""Keys that may differ on a resume, with all keys below them: they change speed, places and output, never a result."""


def without_new_defaults(locked: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The current configuration without keys that are absent from the lock and have their constructor's default.

    These keys are newer than the lock; their defaults keep the behaviour of the version that wrote it.
    """
    kept: dict[str, Any] = {}
    for key, value in now.items():
        if key not in locked and now.get("_target_") == locked.get("_target_") and is_own(str(now.get("_target_"))):
            known = signature(str(now["_target_"])).parameters.get(str(key))
            if known is not None and known.default and _literal(known.default) == (value,):
                continue
        before = locked.get(key)
        both = isinstance(value, Mapping) and isinstance(before, Mapping)
        kept[key] = without_new_defaults(before or {}, value) if both else value
    return kept


def _literal(written: str) -> tuple[Any, ...]:
    """The value of a default as written in the source; () if it is not a literal."""
    try:
        return (ast.literal_eval(written),)
    except ValueError:
        return ()


def differences(locked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Forbidden changes of a resume, one line per key."""
    before, after = dict(leaves(locked)), dict(leaves(without_new_defaults(locked, now)))
    changed = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key, "(absent)") == after.get(key, "(absent)"):
            continue
        if not any(key == free or key.startswith(f"{free}.") for free in FREE):
            changed.append(f"{key}: {before.get(key, '(absent)')!r} → {after.get(key, '(absent)')!r}")
    return changed


@contextmanager
def configuration_locked(folder: Path, resolved: Mapping[str, Any], overrides: tuple[str, ...]) -> Iterator[None]:
    """Locks the configuration; a run that fails before its first checkpoint removes its lock and can be corrected.

    Raises:
        ConfigError: a key outside the allow-list differs.
    """
    new = not (folder / LOCK).is_file()
    lock_config(folder, resolved, overrides)
    try:
        yield
    except PixelProofError:
        if new and not any(folder.glob("window_*/checkpoints/*.ckpt")):
            (folder / LOCK).unlink(missing_ok=True)
        raise


def lock_config(folder: Path, resolved: Mapping[str, Any], overrides: tuple[str, ...]) -> None:
    """Writes the lock, or compares the configuration with an existing one.

    Raises:
        ConfigError: a key outside the allow-list differs.
    """
    file = folder / LOCK
    if file.is_file():
        refuse_changed(folder, resolved)
        return
    folder.mkdir(parents=True, exist_ok=True)
    content = {"command": list(overrides), "config": dict(resolved)}
    write_atomically(file, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def refuse_changed(folder: Path, resolved: Mapping[str, Any]) -> None:
    """Compares a configuration with the one an existing experiment was started with; does not import torch.

    Raises:
        ConfigError: a key outside the allow-list differs.
    """
    file = folder / LOCK
    if not file.is_file():
        return
    started = yaml.safe_load(file.read_text(encoding="utf-8"))
    locked = typed_config(started["config"])
    changed = differences(locked, resolved)
    if changed:
        shown = "\n    ".join(changed[:20])
        longer = _longer(folder, started["command"], locked, resolved) if len(changed) == 1 else ""
        raise ConfigError(
            f"{folder} was started with another configuration:\n    {shown}",
            f"{longer}Give another experiment_id for the new configuration, or repeat the old command (recorded in "
            f"{file}) to continue.",
        )


def _longer(folder: Path, started: Sequence[str], locked: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The command that continues training from a run's weights, if only the number of epochs increased.

    The run itself cannot be extended: its learning rates may depend on its length.
    """
    before, after = (config["trainer"].get("max_epochs") for config in (locked, now))
    weights = [folder / f"window_0/checkpoints/{name}.ckpt" for name in ("last", "best")]
    found = next((file for file in weights if file.is_file()), None)
    more = isinstance(before, int) and isinstance(after, int) and after > before > 0
    if not more or found is None or (folder / "window_1").exists():
        return ""
    left = ("task", "experiment_id", "ckpt", "trainer.max_epochs")
    kept = [word for word in started if word.lstrip("+").partition("=")[0] not in left]
    name = f"{folder.name}_{after}_epochs"
    new = [f"trainer.max_epochs={after - before}", f"experiment_id={name}", f"ckpt={as_word(str(found))}"]
    return (
        f"Train {counted(after - before, 'more epoch')} from its weights, with a new optimiser and schedule:\n    "
        f"{shlex.join(['pixelproof', *kept, *new])}\n  → Or: "
    )
