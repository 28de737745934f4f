"""Runs the server of a sitting (uvicorn), reachable from this machine alone."""

import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from benchmarks.people.answers import Journal
from benchmarks.people.server import Guessing
from contracts.errors import ConfigError

HOST = "127.0.0.1"
CONNECTIONS = 32
"""Connections served at once; further ones get status 503."""


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
        port: to listen on; 0 takes a free one.
        announce: is given the address once it is open.

    Raises:
        ConfigError: the port cannot be used.
    """

    def ended() -> None:
        server.should_exit = True

    with socket.socket() as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            here.bind((HOST, port))
        except OSError as error:
            raise ConfigError(
                f"guess.port={port} cannot be used: {error.strerror or error}", "Give guess.port=0 for a free one."
            ) from error
        here.listen()
        app = Guessing(journal, pixels, result, ended).app()
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_level="warning", access_log=False, server_header=False, lifespan="off",
                limit_concurrency=CONNECTIONS, timeout_keep_alive=5, timeout_graceful_shutdown=5,
            )
        )  # fmt: skip
        announce(f"http://{HOST}:{here.getsockname()[1]}/")
        server.run(sockets=[here])
