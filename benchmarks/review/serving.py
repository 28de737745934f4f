"""Serves a page of results to a browser on the same machine, with whole images, which a page in one file cannot carry.

A request names an image by its position on the page. The file that the dump records for it is read and must be an
image; no name or path from a request is opened.
"""

from collections.abc import Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from benchmarks.review.join import Joined
from benchmarks.review.pixels import PixelReader, whole_image
from contracts.errors import DataError
from contracts.web.serving import QUIET, application, serve

ROOT = '<html lang="en">'
SERVED = '<html lang="en" data-served="1">'
"""How the page's script knows that whole images can be asked for."""

INERT = {"Content-Security-Policy": "default-src 'none'"}
"""An image that is opened as a document of its own may not do anything."""


class Reviewing:
    """The requests of a page's reader.

    Args:
        page: the HTML file.
        joined: the dumps that it was made from.
    """

    def __init__(self, page: Path, joined: Joined) -> None:
        # read once: positions are those of this page, whatever is written later
        self.page, self.joined = page.read_text("utf-8").replace(ROOT, SERVED, 1), joined
        self.readers = [PixelReader(dump) for dump in self.joined.dumps]
        self.owner = self.joined.owner

    def app(self) -> Starlette:
        """The application."""
        return application([Route("/", self.show), Route("/image/{position:int}", self.image)])

    async def show(self, _request: Request) -> Response:
        """The page, which has its own Content Security Policy."""
        return HTMLResponse(self.page, headers=QUIET | {"X-Frame-Options": "DENY"})

    async def image(self, request: Request) -> Response:
        """A whole image of the page, in a format that browsers show."""
        position = int(request.path_params["position"])
        if position >= self.joined.ids.size:
            return _refusal("The page has no such image.")
        try:
            content, kind = await run_in_threadpool(self._whole, position)
        except DataError as error:
            return _refusal(error.what)
        return Response(content, headers=QUIET | INERT | {"Content-Type": kind})

    def _whole(self, position: int) -> tuple[bytes, str]:
        dump = int(self.owner[position])
        return whole_image(self.readers[dump].read(int(self.joined.place[dump, position])))


def serve_review(page: Path, joined: Joined, port: int, announce: Callable[[str, Callable[[], None]], None]) -> None:
    """Serves a page until a signal ends the program.

    Args:
        page: the HTML file.
        joined: the dumps that it was made from.
        port: port to listen on; 0 takes a free one.
        announce: is given the address once it is open, and a function that ends the server.

    Raises:
        ConfigError: the port cannot be used.
    """
    serve(lambda _end: Reviewing(page, joined).app(), "review.port", port, announce)


def _refusal(why: str) -> Response:
    return Response(why, 404, QUIET | {"Content-Type": "text/plain; charset=utf-8"})
