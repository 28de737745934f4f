"""Commands in Python, composed, checked and run as by the command line."""

import shlex
from collections.abc import Sequence

from conf.compose import Composed
from lightning_main import run_one
from tasks.checking.command import checked


def compose(words: Sequence[str] | str = ()) -> Composed:
    """The configuration of a command, checked as the command line checks it; nothing is run.

    Args:
        words: what follows ``pixelproof`` on the command line, as a list or as one string:
            ``["task=fit", "detector=npr"]``. Experiments are looked up in the current folder.

    Returns:
        ``config`` (typed), ``resolved`` (the same as plain dictionaries), and the ``choices`` in each group.

    Raises:
        ConfigError: the command cannot work, with every problem found.
    """
    return checked(_split(words))


def run(words: Sequence[str] | str) -> int:
    """Runs a command in this process, with its output; results are written to the current folder.

    Args:
        words: see `compose`; ``-m`` and other flags are not allowed.

    Returns:
        0; or 1 if ``task=doctor`` found a problem.

    Raises:
        ConfigError: the command cannot work; nothing was started.
        DataError: the data cannot be used.
        CheckpointError: a checkpoint cannot be read or does not fit.
    """
    return run_one(_split(words))


def _split(words: Sequence[str] | str) -> list[str]:
    return shlex.split(words) if isinstance(words, str) else list(words)
