"""Code that servers of pages share: headers, accepted host names, and serving with uvicorn."""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import ConfigError

HOST = "127.0.0.1"
LOOPBACK = (HOST, "localhost")
"""Host names accepted on loopback, so that a page of another site cannot reach the server by its own name."""
QUIET = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of every response."""
POLICY = (
    "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content Security Policy of a page whose script and style are files of the server."""
CONNECTIONS = 32  # Maximum number of connections; further ones get status 503

Endpoint = Callable[[Request], Awaitable[Response]]


def application(routes: list[Route], hosts: tuple[str, ...] = LOOPBACK) -> Starlette:
    """An application that refuses requests to other names than ``hosts``; ``*`` admits all."""
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))])


def static(path: Path, kind: str, further: dict[str, str] | None = None) -> Endpoint:
    """An endpoint that serves a file, read once, as text of this media type."""
    content = path.read_bytes()

    async def serve(_request: Request) -> Response:
        return Response(content, headers=QUIET | {"Content-Type": f"{kind}; charset=utf-8"} | (further or {}))

    return serve


def serve(
    make: Callable[[Callable[[], None]], Starlette],
    key: str,
    port: int,
    announce: Callable[[str, Callable[[], None]], None],
    *,
    host: str = HOST,
    connections: int = CONNECTIONS,
) -> None:
    """Serves an application until it is stopped, or a signal stops the program.

    Args:
        make: creates the application from a function that stops the server.
        key: option that sets the port, for the error.
        port: port to listen on; 0 takes a free one.
        announce: called with the address, once it is open, and the function that stops the server.
        host: address to listen on.
        connections: maximum number of connections.

    Raises:
        ConfigError: the port cannot be used.
    """

    def end() -> None:
        server.should_exit = True

    with socket.socket() as here:
        here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            here.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"{key}={port} on {host} cannot be used: {error.strerror or error}", f"Give {key}=0 for a free port."
            ) from error
        here.listen()
        server = uvicorn.Server(
            uvicorn.Config(
                make(end), log_level="warning", access_log=False, server_header=False, lifespan="off",
                limit_concurrency=connections, timeout_keep_alive=5, timeout_graceful_shutdown=5,
            )
        )  # fmt: skip
        announce(f"http://{host}:{here.getsockname()[1]}/", end)
        server.run(sockets=[here])
