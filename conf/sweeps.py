"""Searches in W&B's own format: read, sampled, checked, turned into command lines. No server, no search library."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from conf.check import check
from conf.cli.grammar import as_word
from conf.cli.groups import CONF
from conf.cli.typed import annotation_at
from conf.compose import compose
from conf.keys.values import typed_scalar
from conf.keys.written import PlainLoader, Written, grammar_values, load_yaml, read
from contracts.errors import ConfigError, nearest

METHODS = ("random", "bayes", "grid")
MACROS = ("${env}", "${interpreter}", "${program}", "${args_no_hyphens}")
METRICS = ("val/auroc", "val/average_precision", "val/accuracy", "val/balanced_accuracy", "val/loss")
RANGES = {
    "uniform": "float", "q_uniform": "float", "log_uniform_values": "float", "q_log_uniform_values": "float",
    "log_uniform": "float", "int_uniform": "int",
}  # fmt: skip
"""Distributions with bounds that both W&B and Optuna know."""

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Parameter:
    """One searched key.

    Attributes:
        key: dotted place in the configuration.
        values: the choices; empty for a range.
        low: least value of a range.
        high: greatest.
        kind: "int" or "float".
        log: whether its logarithm is what is uniform.
        step: grid of the values, or None.
    """

    key: str
    values: tuple[Scalar, ...] = ()
    low: float = 0.0
    high: float = 0.0
    kind: Literal["int", "float"] = "float"
    log: bool = False
    step: float | None = None

    def sample(self, number: int) -> Scalar:
        """The number-th of a few values that stand for all: choices in turn, or a range's ends and middle."""
        if self.values:
            return self.values[number % len(self.values)]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        value = (self.low, self.high, middle)[number % 3]
        return round(value) if self.kind == "int" else value

    @property
    def count(self) -> int | None:
        """How many values there are; None for a continuum."""
        if self.values:
            return len(self.values)
        return int(self.high - self.low) + 1 if self.kind == "int" else None


@dataclass(frozen=True)
class Sweep:
    """A search.

    Attributes:
        name: of its file.
        method: "random", "bayes" or "grid".
        metric: logged value it looks for.
        maximize: whether more is better.
        words: what stands on every command line.
        parameters: what is searched.
        cap: runs, or None.
        early: ``early_terminate`` as it stands, or None.
        raw: the file's content.
    """

    name: str
    method: str
    metric: str
    maximize: bool
    words: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    cap: int | None
    early: dict[str, Any] | None
    raw: dict[str, Any]

    def command(self, values: Mapping[str, Scalar]) -> list[str]:
        """Words of one run: the fixed ones and the values, as W&B's ``${args_no_hyphens}`` puts them."""
        return [*self.words, *(f"{key}={word(value)}" for key, value in values.items())]


def word(value: Scalar) -> str:
    """A value as a command line has it; a text that Hydra would not give back is quoted."""
    return "null" if value is None else as_word(value) if isinstance(value, str) else str(value)


def sweep_files(folder: Path = CONF) -> dict[str, Path]:
    """The searches that come along, by name."""
    return {file.stem: file for file in sorted((folder / "sweep").glob("*.yaml"))}


def find_sweep(name: str, folder: Path = CONF) -> Path:
    """The file of a search given by name or path.

    Raises:
        ConfigError: there is none.
    """
    known = sweep_files(folder)
    if name in known:
        return known[name]
    file = Path(name).expanduser()
    if file.is_file():
        return file
    raise ConfigError(f"sweep.file={name} is neither a file nor one of conf/sweep", nearest(name, known))


def read_sweep(file: Path, folder: Path = CONF) -> Sweep:
    """Reads a search.

    Args:
        file: the search.
        folder: of YAML groups.

    Raises:
        ConfigError: naming the first entry that W&B, Optuna or the command line could not use.
    """
    marked = load_yaml(file, PlainLoader)
    if not isinstance(marked, dict):
        raise ConfigError(f"{file} is no mapping", "See conf/sweep for examples.")
    raw = grammar_values(marked)
    method, metric = raw.get("method"), raw.get("metric") or {}
    if method not in METHODS:
        raise ConfigError(f"{file}: method={method!r}", nearest(str(method), METHODS))
    if metric.get("name") not in METRICS:
        raise ConfigError(
            f"{file}: metric.name={metric.get('name')!r} is not logged", nearest(str(metric.get("name")), METRICS)
        )
    if metric.get("goal") not in ("maximize", "minimize"):
        raise ConfigError(f"{file}: metric.goal={metric.get('goal')!r}", "Say maximize or minimize.")
    nodes = marked.get("parameters") or {}
    parameters = tuple(_parameter(file, str(key), node) for key, node in nodes.items())
    if not parameters:
        raise ConfigError(f"{file} searches nothing", "Give parameters.")
    if method == "grid" and (endless := [p.key for p in parameters if p.count is None]):
        raise ConfigError(f"{file}: a grid over the continuum of {endless[0]}", "Give it values.")
    words = tuple(_words(file, raw.get("command")))
    goal = metric["goal"] == "maximize"
    parameters = _settled(words, parameters, folder)
    for parameter in parameters:
        if parameter.values:  # as W&B's server hands them over, which knows no quotes
            given = [word(value) if isinstance(value, str) else value for value in parameter.values]
            node = raw["parameters"][parameter.key]
            node |= {"values": given} if "values" in node else {"value": given[0]}
    return Sweep(
        file.stem, method, metric["name"], goal, words, parameters, raw.get("run_cap"), raw.get("early_terminate"), raw
    )


def lint(file: Path, folder: Path = CONF, further: Sequence[str] = ()) -> Iterator[ConfigError]:
    """What is wrong with a search: with the file, or with any of a few samples that hold every choice at least once.

    Args:
        file: the search.
        folder: of YAML groups.
        further: words that every run gets beside its own.
    """
    try:
        sweep = read_sweep(file, folder)
    except ConfigError as error:
        yield error
        return
    seen = set()
    for number in range(max(3, *(len(parameter.values) for parameter in sweep.parameters))):
        words = [*further, *sweep.command({parameter.key: parameter.sample(number) for parameter in sweep.parameters})]
        try:
            problems = [each for each in check(compose(words, folder)) if "datamodule.path" not in each.what]
        except ConfigError as error:
            problems = [error]
        for problem in problems:
            if problem.what not in seen:
                seen.add(problem.what)
                yield ConfigError(f"{file.name}: {problem.what}", problem.step)


def _settled(words: Sequence[str], parameters: tuple[Parameter, ...], folder: Path) -> tuple[Parameter, ...]:
    """Values whose reading is open, by the type of their key: a text where it holds text, else the number."""
    if not any(isinstance(value, Written | bool) for parameter in parameters for value in parameter.values):
        return parameters
    first = [
        f"{each.key}={word(value.text if isinstance(value, Written) else value)}"
        for each in parameters
        for value in [each.sample(0)]
    ]
    try:
        resolved = compose([*words, *first], folder).resolved
    except ConfigError:  # `lint` tells of it
        resolved = {}
    return tuple(
        replace(each, values=tuple(typed_scalar(value, annotation_at(resolved, each.key)) for value in each.values))
        for each in parameters
    )


def _words(file: Path, command: Any) -> Iterator[str]:
    if not isinstance(command, list) or "${args_no_hyphens}" not in command:
        raise ConfigError(
            f"{file}: the command has no ${{args_no_hyphens}}",
            "W&B would write --key=value, which Hydra cannot read; see conf/sweep for the whole line.",
        )
    for part in map(str, command):
        if part in ("-m", "--multirun"):
            raise ConfigError(f"{file}: the command has {part}", "A run of a sweep is one run; leave it out.")
        if part.startswith("${") and part not in MACROS:
            raise ConfigError(f"{file}: {part} in the command", nearest(part, MACROS))
        if part not in MACROS and "=" in part:
            yield part


def _parameter(file: Path, key: str, marked: Any) -> Parameter:
    where, node = f"{file}: parameters.{key}", grammar_values(marked)
    if not isinstance(node, dict):
        raise ConfigError(f"{where} is {node!r}", "Write {value: …}, {values: […]} or {min: …, max: …}.")
    if "parameters" in node:
        raise ConfigError(f"{where} is nested", "Write flat dotted keys: W&B would hand over a Python dictionary.")
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
            raise ConfigError(f"{where}: {value!r} is no single value", "Write flat dotted keys.")
        if value is None:
            raise ConfigError(f"{where}: null", "Write \"null\" in quotes: W&B would hand over the word 'None'.")
        if value in ("True", "False"):
            raise ConfigError(f"{where}: the word {value!r}", "Write true or false without quotes.")
        yield value
