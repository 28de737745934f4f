"""One searched parameter of a sweep, read from W&B's format."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from conf.cli.grammar import as_word
from conf.keys.written import grammar_values, read
from contracts.errors import ConfigError, nearest

RANGES = {
    "uniform": "float", "q_uniform": "float", "log_uniform_values": "float", "q_log_uniform_values": "float",
    "log_uniform": "float", "int_uniform": "int",
}  # fmt: skip
"""Distributions with bounds that both W&B and Optuna know."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Parameter:
    """One searched key."""

    key: str  # dotted key in the configuration
    values: tuple[Scalar, ...] = ()  # the choices; empty for a range
    low: float = 0.0  # minimum of a range
    high: float = 0.0  # maximum
    kind: Literal["int", "float"] = "float"  # "int" or "float"
    log: bool = False  # whether its logarithm is uniformly distributed
    step: float | None = None  # grid of the values, or None

    def sample(self, number: int) -> Scalar:
        """The number-th of a few representative values: choices in turn, or a range's ends and middle."""
        if self.values:
            return self.values[number % len(self.values)]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        value = (self.low, self.high, middle)[number % 3]
        return round(value) if self.kind == "int" else value

    @property
    def count(self) -> int | None:
        """Number of possible values; None for a continuum."""
        if self.values:
            return len(self.values)
        return int(self.high - self.low) + 1 if self.kind == "int" else None


def word(value: Scalar) -> str:
    """A value as it is typed on a command line; text that Hydra would change is quoted."""
    return "null" if value is None else as_word(value) if isinstance(value, str) else str(value)


def read_parameter(file: Path, key: str, marked: Any) -> Parameter:
    """Reads one entry under ``parameters`` of a sweep file, with marks (`conf.keys.written`).

    Raises:
        ConfigError: W&B, Optuna or the command line could not use it.
    """
    where, node = f"{file}: parameters.{key}", grammar_values(marked)
    if not isinstance(node, dict):
        raise ConfigError(f"{where} is {node!r}", "Write {value: …}, {values: […]} or {min: …, max: …}.")
    if "parameters" in node:
        raise ConfigError(f"{where} is nested", "Write flat dotted keys: W&B would pass a Python dictionary.")
    if "value" in node or "values" in node:
        values = marked["values"] if "values" in node else [marked["value"]]
        return Parameter(key, tuple(_scalars(where, map(read, values))))
    if not {"min", "max"} <= node.keys():
        raise ConfigError(f"{where} has neither values nor min and max", "Normal distributions are not supported.")
    low, high = node["min"], node["max"]
    if any(isinstance(bound, bool) or not isinstance(bound, int | float) for bound in (low, high)):
        raise ConfigError(f"{where}: bounds {low!r} and {high!r}", "Write numbers (1.0e-5, not 1e-5, in YAML).")
    named = node.get("distribution") or ("int_uniform" if type(low) is type(high) is int else "uniform")
    if named not in RANGES:
        raise ConfigError(f"{where}: distribution {named!r}", nearest(str(named), RANGES))
    if named == "log_uniform":  # bounds are exponents
        low, high = math.exp(low), math.exp(high)
    log = "log" in named
    if low > high or (log and low <= 0):
        raise ConfigError(f"{where}: from {low} to {high}", "Give min below max, above zero where it is logarithmic.")
    kind: Literal["int", "float"] = "int" if RANGES[named] == "int" else "float"
    step = float(node.get("q", 1)) if named.startswith("q_") else None
    return Parameter(key, (), float(low), float(high), kind, log, step)


def _scalars(where: str, values: Iterable[Any]) -> Iterator[Scalar]:
    for value in values:
        if isinstance(value, dict | list):
            raise ConfigError(f"{where}: {value!r} is not a single value", "Write flat dotted keys.")
        if value is None:
            raise ConfigError(f"{where}: null", "Write \"null\" in quotes: W&B would pass the word 'None'.")
        if value in ("True", "False"):
            raise ConfigError(f"{where}: the word {value!r}", "Write true or false without quotes.")
        yield value
