"""Sweeps in W&B's own format: read, checked and turned into command lines, without a server or a search library."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conf.check import check
from conf.cli.groups import CONF
from conf.cli.typed import annotation_at
from conf.compose import compose
from conf.keys.values import typed_scalar
from conf.keys.written import PlainLoader, Written, grammar_values, load_yaml
from conf.sweep_parameters import Parameter, Scalar, read_parameter, word
from contracts.errors import ConfigError, nearest

METHODS = ("random", "bayes", "grid")
MACROS = ("${env}", "${interpreter}", "${program}", "${args_no_hyphens}")
METRICS = ("val/auroc", "val/average_precision", "val/accuracy", "val/balanced_accuracy", "val/loss")


@dataclass(frozen=True)
class Sweep:
    """A search."""

    name: str  # of its file
    method: str  # "random", "bayes" or "grid"
    metric: str  # logged value that is optimised
    maximize: bool  # whether greater is better
    words: tuple[str, ...]  # the fixed arguments of every run
    parameters: tuple[Parameter, ...]  # the searched keys
    cap: int | None  # maximum number of runs, or None
    early: dict[str, Any] | None  # ``early_terminate`` as written, or None
    raw: dict[str, Any]  # the file's content

    def command(self, values: Mapping[str, Scalar], further: Sequence[str] = ()) -> list[str]:
        """Words of one run: fixed and further ones, then the values as W&B's ``${args_no_hyphens}`` writes them."""
        return [*self.words, *further, *(f"{key}={word(value)}" for key, value in values.items())]


def sweep_files(folder: Path = CONF) -> dict[str, Path]:
    """The sweeps in conf/sweep, by name."""
    return {file.stem: file for file in sorted((folder / "sweep").glob("*.yaml"))}


def find_sweep(name: str, folder: Path = CONF) -> Path:
    """The file of a sweep given by name or path.

    Raises:
        ConfigError: it does not exist.
    """
    known = sweep_files(folder)
    if name in known:
        return known[name]
    file = Path(name).expanduser()
    if file.is_file():
        return file
    raise ConfigError(f"sweep.file={name} is neither a file nor one of conf/sweep", nearest(name, known))


def read_sweep(file: Path, folder: Path = CONF) -> Sweep:
    """Reads a sweep.

    Raises:
        ConfigError: names the first entry that W&B, Optuna or the command line could not use.
    """
    marked = load_yaml(file, PlainLoader)
    if not isinstance(marked, dict):
        raise ConfigError(f"{file} is not a mapping", "See conf/sweep for examples.")
    raw = grammar_values(marked)
    method, metric = raw.get("method"), raw.get("metric") or {}
    if method not in METHODS:
        raise ConfigError(f"{file}: method={method!r}", nearest(str(method), METHODS))
    if metric.get("name") not in METRICS:
        raise ConfigError(
            f"{file}: metric.name={metric.get('name')!r} is not logged", nearest(str(metric.get("name")), METRICS)
        )
    if metric.get("goal") not in ("maximize", "minimize"):
        raise ConfigError(f"{file}: metric.goal={metric.get('goal')!r}", "Write maximize or minimize.")
    nodes = marked.get("parameters") or {}
    parameters = tuple(read_parameter(file, str(key), node) for key, node in nodes.items())
    if not parameters:
        raise ConfigError(f"{file} has no parameters to search", "Add parameters.")
    if method == "grid" and (endless := [p.key for p in parameters if p.count is None]):
        raise ConfigError(
            f"{file}: a grid search over the continuous parameter {endless[0]}", "List its values: values: [...]."
        )
    words = tuple(_words(file, raw.get("command")))
    goal = metric["goal"] == "maximize"
    parameters = _settled(words, parameters, folder)
    for parameter in parameters:
        if parameter.values:  # W&B's server passes values on without quotes
            given = [word(value) if isinstance(value, str) else value for value in parameter.values]
            node = raw["parameters"][parameter.key]
            node |= {"values": given} if "values" in node else {"value": given[0]}
    return Sweep(
        file.stem, method, metric["name"], goal, words, parameters, raw.get("run_cap"), raw.get("early_terminate"), raw
    )


def lint(file: Path, folder: Path = CONF, further: Sequence[str] = ()) -> Iterator[ConfigError]:
    """Problems of a sweep's file, or of a few sampled runs, with further arguments, that cover every choice once."""
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
    """Parameters with ambiguous values read by the type of their key: as text if it holds text, else as numbers."""
    if not any(isinstance(value, Written | bool) for parameter in parameters for value in parameter.values):
        return parameters
    first = [
        f"{each.key}={word(value.text if isinstance(value, Written) else value)}"
        for each in parameters
        for value in [each.sample(0)]
    ]
    try:
        resolved = compose([*words, *first], folder).resolved
    except ConfigError:  # `lint` reports it
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
            raise ConfigError(f"{file}: the command has {part}", "Leave it out: each trial of a sweep is a single run.")
        if part.startswith("${") and part not in MACROS:
            raise ConfigError(f"{file}: unknown {part} in the command", nearest(part, MACROS))
        if part not in MACROS and "=" in part:
            yield part
