"""Requests of ``task=serve`` (Starlette): a page, ``POST /score``, and its description for machines.

No name or path from a request is opened. Bodies are read up to a limit, and memory holds no more of them than the queue
does; the header of an image is checked before the image is queued.
"""

import asyncio
import secrets
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.errors import DataError
from contracts.web.serving import LOOPBACK, POLICY, QUIET, application, static
from datamodules.loading.decode import read_header
from tasks.serving.openapi import description
from tasks.serving.scoring import Asked, FullError, Keep, Scoring

TEMPLATES = Path(__file__).parent / "templates"
RETRY = 1
"""Seconds after which a client may try again if the server is full."""


class RefusedError(Exception):
    """A request that is not answered with a score.

    Args:
        status: HTTP status code.
        why: the reason, for the sender.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why

    def response(self) -> Response:
        """The reason as JSON; if the server is full, also the time after which to try again."""
        headers = QUIET | ({"Retry-After": str(RETRY)} if self.status == 503 else {})
        return JSONResponse({"error": self.why}, status_code=self.status, headers=headers)


@dataclass(frozen=True)
class Limits:
    """Limits of a request."""

    bytes: int  # maximum length of a body
    pixels: int  # maximum number of pixels of an image
    waiting: int  # maximum number of bodies in memory, including those that are being scored
    seconds: float  # time limit from the first byte of a body to its answer


@dataclass(eq=False)
class Server:
    """The application."""

    scoring: Scoring  # scores images
    limits: Limits  # limits of requests
    token: str | None  # what requests must carry, or None on loopback
    keep: Keep | None = None  # stores images and answers, or None
    inside: int = 0

    def app(self) -> Starlette:
        """The routes."""
        routes = [
            Route("/", static(TEMPLATES / "index.html", "text/html", {"Content-Security-Policy": POLICY})),
            Route("/serve.js", static(TEMPLATES / "serve.js", "text/javascript")),
            Route("/serve.css", static(TEMPLATES / "serve.css", "text/css")),
            Route("/models", self.models),
            Route("/score", self.score, methods=["POST"]),
            Route("/openapi.json", self.openapi),
        ]
        return application(routes, ("*",) if self.token else LOOPBACK)

    async def openapi(self, _request: Request) -> Response:
        """The interface in the OpenAPI format."""
        return JSONResponse(description(version("pixelproof"), self.limits.bytes, bool(self.token)), headers=QUIET)

    async def models(self, request: Request) -> Response:
        """The checkpoints, their thresholds and hashes."""
        try:
            self._admit(request)
        except RefusedError as refused:
            return refused.response()
        found = {
            name: {
                "detector": type(model.loaded.detector).__name__,
                "threshold": model.threshold,
                "threshold_chosen_on_validation": model.loaded.threshold is not None,
                "sha256": model.loaded.sha256,
            }
            for name, model in self.scoring.models.items()
        }
        return JSONResponse({"models": found, "deliveries": list(self.scoring.ways)}, headers=QUIET)

    async def score(self, request: Request) -> Response:
        """Scores the image in the body."""
        counted = False
        try:
            self._admit(request)
            if self.inside >= self.limits.waiting:
                raise RefusedError(503, "too many images are waiting; try again later")
            self.inside, counted = self.inside + 1, True
            async with asyncio.timeout(self.limits.seconds):
                return JSONResponse(await self._scored(request), headers=QUIET)
        except RefusedError as refused:
            return refused.response()
        except TimeoutError:
            return RefusedError(504, f"not scored within {self.limits.seconds:g} s").response()
        finally:
            self.inside -= counted

    async def _scored(self, request: Request) -> dict[str, Any]:
        content = await self._body(request)
        try:
            await run_in_threadpool(read_header, content, self.limits.pixels)
        except DataError as error:
            raise RefusedError(422, str(error.what)) from error
        deliveries, maps = (request.query_params.get(name) in ("1", "true") for name in ("deliveries", "maps"))
        asked = Asked(content, deliveries, maps)
        try:
            self.scoring.ask(asked)
        except FullError as error:
            raise RefusedError(503, "too many images are waiting; try again later") from error
        try:
            answer = await asyncio.wrap_future(asked.answer)
        except Exception as error:  # what went wrong is printed by the thread, and is not for the sender
            raise RefusedError(500, "the image could not be scored; the server's log has the reason") from error
        if answer["score"] is None:
            raise RefusedError(422, answer["error"])
        if self.keep is not None:
            await run_in_threadpool(self.keep, content, answer)
        return answer

    async def _body(self, request: Request) -> bytes:
        """The body, read up to the limit."""
        announced = request.headers.get("content-length", "0")
        if announced.isascii() and announced.isdigit() and int(announced) > self.limits.bytes:
            raise RefusedError(413, f"more than {self.limits.bytes:,} bytes")
        content = bytearray()
        try:
            async for part in request.stream():
                content += part
                if len(content) > self.limits.bytes:
                    raise RefusedError(413, f"more than {self.limits.bytes:,} bytes")
        except ClientDisconnect as error:
            raise RefusedError(400, "the body is incomplete") from error
        return bytes(content)

    def _admit(self, request: Request) -> None:
        """Refuses requests without the token, and those of other sites' pages."""
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            raise RefusedError(403, "a page of another site may not use this server")
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.token and not secrets.compare_digest(given.encode(), self.token.encode()):
            raise RefusedError(401, "the token is missing or wrong: send Authorization: Bearer TOKEN")
