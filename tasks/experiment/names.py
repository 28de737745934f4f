"""Names of experiments: those of jobs started together, and those that earlier versions named differently."""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from conf.cli.grammar import as_word
from conf.cli.words import parse
from conf.keys.written import grammar_values, text_of
from contracts.errors import ConfigError
from tasks.experiment.run import DATA, LOCK

SHARED_KEYS = ("task", "experiment_id", "predict.shard", "prepare.shard")
"""Keys in which jobs of one experiment may differ."""

LONGEST = 100  # Maximum length of a label in characters; file systems allow 255 for a whole name


def labels_of(jobs: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """A label for each of several jobs: the keys in which they differ, with their values.

    Returns:
        Unique labels of letters, digits and ``. _ -``, which do not depend on the order of the jobs.
    """
    values = {job: dict(_key_and_value(word) for word in job) for job in jobs}
    keys = list(dict.fromkeys(key for job in jobs for key in values[job]))
    differing = [key for key in keys if len({values[job].get(key) for job in jobs}) > 1]
    short = [key.rpartition(".")[2].lstrip("+~") for key in differing]
    names = [key.lstrip("+~") if short.count(last) > 1 else last for key, last in zip(differing, short, strict=True)]
    labels = {}
    for job in jobs:
        parts = []
        for key, name in zip(differing, names, strict=True):
            value = re.sub(r"[^\w.-]+", "-", values[job].get(key, "default"), flags=re.ASCII)
            parts.append(value if key == "experiment" else f"{name}-{value}")
        labels[job] = "_".join(parts)
    for job, label in list(labels.items()):
        if list(labels.values()).count(label) > 1 or len(label) > LONGEST:
            labels[job] = f"{label[:LONGEST]}_{sha256(' '.join(job).encode()).hexdigest()[:8]}"
    return labels


def former_name(name: str) -> str | None:
    """The folder of an experiment of that name by an earlier version, which read ``4_10`` as 410; else None."""
    reading = grammar_reading(name)
    if reading == name or (DATA / name).exists():
        return None
    return reading if _name_at_start(DATA / reading / LOCK) == name else None


def former_job(name: str, own: Sequence[str], others: Sequence[Sequence[str]]) -> str | None:
    """The folder of this job by an earlier version, which numbered the jobs of a ``-m`` of that name; else None."""
    mine = _readings(own)
    differing = {key for other in others for key, value in _readings(other).items() if mine.get(key) != value}
    for reading in dict.fromkeys((name, grammar_reading(name))):
        for lock in sorted(DATA.glob(f"{grammar_reading(reading)}*/{LOCK}")) + sorted(DATA.glob(f"{name}_*/{LOCK}")):
            first_name = _name_at_start(lock)
            if first_name is None or not re.fullmatch(rf"{re.escape(reading)}_\d+", first_name):
                continue
            before = _readings(_command(lock))
            if all(before.get(key) == mine.get(key) for key in differing - set(SHARED_KEYS)):
                return lock.parent.name
    return None


def grammar_reading(name: str) -> str:
    """An unquoted name as Hydra reads it: the number it looks like, else the name itself."""
    value = grammar_values(parse([f"key={as_word(name)}"])[0].value())
    return text_of(value) if isinstance(value, bool | int | float) else name


def _name_at_start(lock: Path) -> str | None:
    words = [word for word in _command(lock) if word.startswith("experiment_id=")]
    return words[-1].partition("=")[2].strip("'\"") if words else None


def _command(lock: Path) -> list[str]:
    if not lock.is_file():
        return []
    content = yaml.safe_load(lock.read_text(encoding="utf-8"))
    words = content.get("command") if isinstance(content, Mapping) else None
    return [str(word) for word in words or []]


def _readings(words: Sequence[str]) -> dict[str, Any]:
    """Keys and values as the grammar reads them: ``True`` and ``true`` are equal."""
    try:
        parsed = parse([word for word in words if not word.startswith("-")])
    except ConfigError:
        return {}
    return {each.key_or_group: grammar_values(each.value()) for each in parsed}


def _key_and_value(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value.strip("'\"")
