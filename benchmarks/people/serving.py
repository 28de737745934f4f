"""Runs the server of a sitting, reachable from this machine alone."""

from collections.abc import Callable
from typing import Any

from benchmarks.people.answers import Journal
from benchmarks.people.server import Guessing
from contracts.web import serving


def serve(
    journal: Journal,
    pixels: Callable[[int], Any],
    result: Callable[[], str],
    port: int,
    announce: Callable[[str], None],
) -> None:
    """Serves a sitting until its result has been shown, or a signal ends the program.

    Args:
        journal: the open file of answers.
        pixels: pixels [H, W, 3] of the image at a position.
        result: makes the page with the result.
        port: port to listen on; 0 takes a free one.
        announce: is given the address once it is open.

    Raises:
        ConfigError: the port cannot be used.
    """
    serving.serve(
        lambda end: Guessing(journal, pixels, result, end).app(), "guess.port", port, lambda at, _end: announce(at)
    )
