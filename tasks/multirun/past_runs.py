"""Past runs on W&B's server, found by tag or filter."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callbacks.reporting.wandb_logger import has_key
from contracts.errors import ConfigError


@dataclass(frozen=True)
class Past:
    """An experiment that was trained before."""

    name: str  # of the experiment
    epochs: list[dict[str, Any]]  # logged values of each, as in ``history.json``
    words: list[str] | None  # arguments of its command; None if not recorded


def past_runs(path: str, tags: Sequence[str], filters: Mapping[str, Any], metric: str, api: Any = None) -> list[Past]:
    """Experiments of a project, each by its last window.

    Args:
        path: ``entity/project``.
        tags: a run must have all of them.
        filters: further ones in W&B's format (MongoDB's), e.g. ``{state: finished}``.
        metric: by which runs are ranked.
        api: replaces ``wandb.Api()`` in tests.

    Raises:
        ConfigError: there is no key, the server rejects the request, or no run matches.
    """
    if api is None:
        api = _api()
    wanted: dict[str, Any] = dict(filters) | ({"$and": [{"tags": tag} for tag in tags]} if tags else {})
    from wandb.errors import CommError

    try:
        runs = list(api.runs(path, filters=wanted))
    except (ValueError, CommError) as error:  # the project does not exist, or the key may not read it
        step = "Give entity/project, and a key with access to it."
        raise ConfigError(f"candidates.wandb={path}: {error}", step) from error
    last: dict[str, Any] = {}
    for run in runs:
        name = str(run.name).partition("/window_")[0]
        if name not in last or _window(run) > _window(last[name]):
            last[name] = run
    if not last:
        raise ConfigError(
            f"candidates.wandb={path}: no run matches {wanted}", "Check candidates.tags and candidates.filters."
        )
    return [Past(name, _epochs(run, metric), _words(run.config)) for name, run in last.items()]


def _window(run: Any) -> int:
    number = str(run.name).rpartition("/window_")[2]
    return int(number) if number.isdigit() else 0


def _epochs(run: Any, metric: str) -> list[dict[str, Any]]:
    """Values as in ``history.json``; the training loss is the mean of an epoch's logged steps."""
    found: dict[int, dict[str, Any]] = {}
    for keys in ({"epoch", metric}, {"epoch", "val/loss"}):
        for row in run.scan_history(keys=sorted(keys)):
            found.setdefault(int(row["epoch"]), {"epoch": int(row["epoch"])}).update(_values(row, keys - {"epoch"}))
    losses: dict[int, list[float]] = {}
    for row in run.scan_history(keys=["epoch", "train/loss"]):
        losses.setdefault(int(row["epoch"]), []).append(float(row["train/loss"]))
    for epoch, values in losses.items():
        if epoch in found:
            found[epoch]["train/loss"] = sum(values) / len(values)
    return [found[epoch] for epoch in sorted(found)]


def _values(row: Mapping[str, Any], keys: Iterable[str]) -> dict[str, float]:
    return {key: float(row[key]) for key in keys}


def _words(config: Mapping[str, Any]) -> list[str] | None:
    words = config.get("command")
    return [str(word) for word in words] if words else None


def _api() -> Any:
    if not has_key():
        raise ConfigError(
            "candidates.wandb needs W&B's server, and no key is set",
            "Set WANDB_API_KEY, or name local experiments: candidates.among=[...].",
        )
    import wandb

    return wandb.Api()
