"""The page on which a person answers, served to a browser on the same machine (Starlette).

Until an image is answered, the browser receives its pixels and its position, and nothing else: no id, path, label or
generator, no header or size that depends on them. No image is served before the previous answer is on the disk.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from benchmarks.people.answers import Journal
from benchmarks.people.transfer import stored_png
from contracts.web.serving import POLICY, QUIET, application, static

TEMPLATES = Path(__file__).parent / "templates"
LONGEST = 1024  # Bytes of the longest request body


@dataclass(eq=False)
class Guessing:
    """The requests of one sitting."""

    journal: Journal  # the open file of answers
    pixels: Callable[[int], Any]  # pixels [H, W, 3] of the image at a position
    result: Callable[[], str]  # makes the page with the result; called once all images are answered
    ended: Callable[[], None]  # called after the browser has received that page

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/", self.page),
            Route("/guess.js", static(TEMPLATES / "guess.js", "text/javascript")),
            Route("/guess.css", static(TEMPLATES / "guess.css", "text/css")),
            Route("/state", self.state),
            Route("/image/{position:int}", self.image),
            Route("/answer", self.answer, methods=["POST"]),
            Route("/undo", self.undo, methods=["POST"]),
            Route("/result", self.show_result),
        ]
        return application(routes)

    async def page(self, _request: Request) -> Response:
        """The page."""
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        sitting = self.journal.answers.sitting
        page = environment.get_template("guess.html.j2").render(
            person=sitting.person, count=len(sitting.images), reveal=sitting.reveal
        )
        return HTMLResponse(page, headers=QUIET | {"Content-Security-Policy": POLICY})

    async def state(self, _request: Request) -> Response:
        """The number of answers so far."""
        return JSONResponse(self._state(), headers=QUIET)

    async def image(self, request: Request) -> Response:
        """The pixels of the image that is to be answered now; no other is shown."""
        position = int(request.path_params["position"])
        if position != len(self.journal.answers) or self._complete:
            return _refusal("This image is not the one to answer now.", 404)
        return Response(stored_png(self.pixels(position)), headers=QUIET | {"Content-Type": "image/png"})

    async def answer(self, request: Request) -> Response:
        """Writes an answer; with ``guess.reveal=each`` the reply tells the truth."""
        try:
            given = await _body(request)
            position, called, seconds = given["position"], given["called"], float(given["seconds"])
            if type(position) is not int or type(called) is not int:
                raise ValueError("position and called must be whole numbers")
            if position != len(self.journal.answers) or self._complete:
                return _refusal("This image is not the one to answer now.", 409)
            self.journal.answer(called, seconds)
        except (ValueError, KeyError, TypeError) as error:
            return _refusal(f"Invalid answer: {error}", 400)
        state = self._state()
        sitting = self.journal.answers.sitting
        if sitting.reveal == "each":
            image = sitting.images[position]
            state |= {"truth": image.label, "generator": image.generator}
        return JSONResponse(state, headers=QUIET)

    async def undo(self, request: Request) -> Response:
        """Takes the last answer back, unless the truth has been shown."""
        try:
            await _body(request)
            if self.journal.answers.sitting.reveal == "each":
                return _refusal("The truth has been shown, so the answer stays.", 409)
            self.journal.undo()
        except (ValueError, KeyError, TypeError) as error:
            return _refusal(f"Nothing to undo: {error}", 409)
        return JSONResponse(self._state(), headers=QUIET)

    async def show_result(self, _request: Request) -> Response:
        """The result, after which nothing can be changed."""
        if not self._complete:
            return _refusal("There are images left to answer.", 409)
        if not self.journal.answers.finished:
            self.journal.finish()
        return HTMLResponse(self.result(), headers=QUIET, background=BackgroundTask(self.ended))

    @property
    def _complete(self) -> bool:
        return len(self.journal.answers) == len(self.journal.answers.sitting.images)

    def _state(self) -> dict[str, Any]:
        answers = self.journal.answers
        can_undo = bool(len(answers)) and answers.sitting.reveal == "end" and not answers.finished
        return {"position": len(answers), "count": len(answers.sitting.images), "undo": can_undo}


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent.

    Its content type makes a browser ask before a page of another site may send it, and nobody allows that.

    Raises:
        ValueError: it is not a small JSON object.
    """
    if request.headers.get("content-type") != "application/json":
        raise ValueError("it must be application/json")
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > LONGEST:
            raise ValueError("it is too long")
    given = json.loads(content)
    if not isinstance(given, dict):
        raise ValueError("it must be an object")
    return given


def _refusal(why: str, status: int) -> Response:
    return JSONResponse({"error": why}, status_code=status, headers=QUIET)
