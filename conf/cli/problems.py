"""Several problems reported at once."""

from collections.abc import Sequence

from contracts.errors import ConfigError


def refuse(problems: Sequence[ConfigError]) -> None:
    """Raises all problems as one error.

    Raises:
        ConfigError: there is at least one problem.
    """
    if problems:
        raise ConfigError("\n".join(str(problem) for problem in problems))
