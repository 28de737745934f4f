"""The first resolved configuration is the experiment's; a resume with another one is refused."""

import ast
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from conf.cli.grammar import as_word
from conf.cli.typed import as_meant
from conf.keys.schema import VERB_OPTIONS
from conf.keys.signatures import signature
from conf.keys.targets import is_own
from conf.sources import leaves
from contracts.errors import ConfigError, PixelProofError
from contracts.files import write_atomically
from tasks.experiment.run import LOCK

FREE = (
    "task",
    "local",
    "logger",
    "metrics",
    *(verb for verb in VERB_OPTIONS if verb != "tune"),
    "benchmark.tables",
    "benchmark.size_policy",
    "benchmark.method",
    "callbacks.explain",
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
"""Keys that may differ on a resume, with all that stands under them: they change how fast, where or how loudly the
same numbers come about, never which numbers."""


def without_new_defaults(locked: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of today without keys that are not locked and have the value their constructor gives them.

    They came with a later version, which does without them what the version did that wrote the lock.
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
    """A default as written in the source; () where it is no literal."""
    try:
        return (ast.literal_eval(written),)
    except ValueError:
        return ()


def differences(locked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What a resume would change and must not, one line a key."""
    before, after = dict(leaves(locked)), dict(leaves(without_new_defaults(locked, now)))
    changed = []
    for key in sorted(before.keys() | after.keys()):
        if before.get(key, "(absent)") == after.get(key, "(absent)"):
            continue
        if not any(key == free or key.startswith(f"{free}.") for free in FREE):
            changed.append(f"{key}: {before.get(key, '(absent)')!r} → {after.get(key, '(absent)')!r}")
    return changed


@contextmanager
def begun(folder: Path, resolved: Mapping[str, Any], overrides: tuple[str, ...]) -> Iterator[None]:
    """Locks the configuration; a run refused before it saved anything leaves no lock, so that it can be corrected.

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
    """Writes the lock where there is none, else holds the configuration against it.

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
    """Holds a configuration against the one that an experiment was begun with, if it was begun; imports no torch.

    Raises:
        ConfigError: a key outside the allow-list differs.
    """
    file = folder / LOCK
    if not file.is_file():
        return
    begun = yaml.safe_load(file.read_text(encoding="utf-8"))
    locked = as_meant(begun["config"])
    changed = differences(locked, resolved)
    if changed:
        shown = "\n    ".join(changed[:20])
        longer = _longer(folder, begun["command"], locked, resolved) if len(changed) == 1 else ""
        raise ConfigError(
            f"{folder} was begun with another configuration:\n    {shown}",
            f"{longer}Give another experiment_id for the new configuration, or repeat the old command (it is in "
            f"{file}) to go on.",
        )


def _longer(folder: Path, begun: Sequence[str], locked: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The command that trains a finished run on, where more epochs are all that changed.

    The run itself cannot be made longer: its learning rates may have been a function of its length.
    """
    before, after = (config["trainer"].get("max_epochs") for config in (locked, now))
    weights = [folder / f"window_0/checkpoints/{name}.ckpt" for name in ("last", "best")]
    found = next((file for file in weights if file.is_file()), None)
    more = isinstance(before, int) and isinstance(after, int) and after > before > 0
    if not more or found is None or (folder / "window_1").exists():
        return ""
    left = ("task", "experiment_id", "ckpt", "trainer.max_epochs")
    kept = [word for word in begun if word.lstrip("+").partition("=")[0] not in left]
    name = f"{folder.name}_{after}_epochs"
    new = [f"trainer.max_epochs={after - before}", f"experiment_id={name}", f"ckpt={as_word(str(found))}"]
    return (
        f"Train {after - before} further epoch(s) from its weights, with optimiser and schedule begun anew:\n    "
        f"{shlex.join(['pixelproof', *kept, *new])}\n  → Or: "
    )
