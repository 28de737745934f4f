"""Several problems told at once."""

from collections.abc import Sequence

from contracts.errors import ConfigError


def refuse(problems: Sequence[ConfigError]) -> None:
    """Raises all problems as one.

    Raises:
        ConfigError: there are some.
    """
    if problems:
        raise ConfigError("\n".join(str(problem) for problem in problems))
