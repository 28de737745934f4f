"""The flags of the command line: those of Hydra that work here, and our own."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from conf.cli.groups import DIR, NAME
from contracts.errors import ConfigError, nearest

CFG = ("job", "all", "hydra")
INFO = ("all", "config", "defaults", "defaults-tree", "searchpath")
SHELLS = ("bash", "zsh", "fish")

FLAGS: dict[tuple[str, ...], tuple[str, str]] = {
    ("--help", "-h"): ("", "show this help, or explain the given tasks, groups, options and keys"),
    ("--multirun", "-m"): ("", "run every combination of key=1,2, range(), glob() and choice()"),
    ("--cfg", "-c"): ("|".join(CFG), "print the configuration as YAML instead of running"),
    ("--resolve",): ("", "resolve interpolations in the output of --cfg"),
    ("--package", "-p"): ("KEY", "print only this part of the configuration (with --cfg)"),
    ("--info", "-i"): ("|".join(INFO), "print how the configuration is composed instead of running"),
    ("--config-dir", "-cd"): ("DIR", "folder of your own YAML groups, searched in addition to conf/"),
    ("--config-name", "-cn"): ("NAME", "main configuration to start from instead of conf/config.yaml"),
    ("--completion",): (
        "|".join(SHELLS),
        'print tab completion for a shell: eval "$(pixelproof --completion bash)"',
    ),
    ("--hydra-help",): ("", "list the flags and settings of Hydra that work here"),
    ("--version",): ("", "print the versions of PixelProof, Hydra and OmegaConf"),
}
"""Names of each flag, its value, and its help text."""

CHOICES = {"--cfg": CFG, "--info": INFO, "--completion": SHELLS}

NOT_HERE = {
    ("--shell-completion", "-sc"): 'Write eval "$(pixelproof --completion bash)" (or zsh, fish)',
    ("--experimental-rerun",): "Write experiment_id=NAME: the same name continues with the experiment's own settings",
    ("--config-path", "-cp"): "Write --config-dir=DIR for YAML groups of your own; conf/ itself cannot be replaced",
    ("--run", "-r"): "Leave it out: without another flag, the task runs",
}
"""Flags of Hydra that do not work here, and what to use instead."""


@dataclass(frozen=True)
class Given:
    """A command line, separated into flags and other words."""

    flags: dict[str, str]  # those given, by their long names, with their values; "" for those without
    words: list[str]  # everything else: overrides, and where the configuration is found (`conf.cli.groups`)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message.removeprefix("argument "), "See pixelproof --help.")


def read_flags(words: Sequence[str]) -> Given:
    """Separates flags from overrides; unknown flags stay among the words, where they are refused later.

    Raises:
        ConfigError: a flag of Hydra does not work here, a flag does not take its value, or flags exclude one another.
    """
    for word in words:
        if step := hydras_step(word):
            raise ConfigError(f"{word!r} is a flag of Hydra that does not exist here", step)
    parser = _Parser(add_help=False, allow_abbrev=False)
    for names, (value, _) in FLAGS.items():
        dest = names[0]
        if value:
            parser.add_argument(*names, dest=dest, action="append" if dest == "--config-dir" else "store")
        else:
            parser.add_argument(*names, dest=dest, action="store_const", const="")
    found, others = parser.parse_known_args(_with_values(words))
    flags = {name: value for name, value in vars(found).items() if value is not None}
    for name, choices in CHOICES.items():
        if name in flags and flags[name] not in choices:
            raise ConfigError(f"{name} {flags[name]} does not exist", nearest(flags[name], choices))
    asking = [name for name in ("--cfg", "--info", "--multirun") if name in flags]
    if len(asking) > 1 and "--help" not in flags:
        raise ConfigError(f"{' and '.join(asking)} exclude one another", "Give one of them.")
    for name in ("--resolve", "--package"):
        if name in flags and "--cfg" not in flags:
            raise ConfigError(f"{name} changes only what --cfg prints", f"Add --cfg job, or leave {name} out.")
    search = [f"{DIR}{Path(folder).expanduser().absolute()}" for folder in flags.pop("--config-dir", [])]
    if name := flags.pop("--config-name", None):
        search.append(f"{NAME}{name.removesuffix('.yaml')}")
    return Given(flags, [*search, *others])


def hydras_step(word: str) -> str | None:
    """The replacement of a flag of Hydra that does not work here; None for every other word."""
    return next((step for names, step in NOT_HERE.items() if word.partition("=")[0] in names), None)


def flag_names() -> list[str]:
    """All names of flags, short ones too."""
    return [name for names in FLAGS for name in names]


def flag_lines() -> dict[str, str]:
    """Flags as the help lists them, with their help texts."""
    return {f"{', '.join(reversed(names))} {value}".strip(): text for names, (value, text) in FLAGS.items()}


def _with_values(words: Sequence[str]) -> list[str]:
    """The words, with a value for every ``--info`` that has none; anything but an override counts as its value."""
    following = [*words[1:], ""]
    return [
        "--info=all" if word in ("--info", "-i") and (not then or "=" in then or then.startswith("-")) else word
        for word, then in zip(words, following, strict=True)
    ]
