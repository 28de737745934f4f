"""Scores uploaded images in batches, in one thread that takes them from a bounded queue."""

import base64
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from queue import Empty, Full, Queue
from typing import Any

from benchmarks.drawing.heat import draw
from contracts.errors import DataError
from contracts.process.memory import limit_freed_memory
from contracts.view import SampleFunction
from datamodules.auditing.metadata import read_metadata
from detectors.npr.fold import folded_once
from tasks.models.look import looks
from tasks.models.model import Model


@dataclass(frozen=True)
class Asked:
    """An image waiting to be scored."""

    content: bytes  # bytes of the file
    deliveries: bool  # also score it after each delivery
    maps: bool  # also draw the maps of detectors that have some
    answer: "Future[dict[str, Any]]" = field(default_factory=Future)
    """Receives the answer as a dictionary for JSON, or an error."""


class FullError(Exception):
    """As many images as the queue holds are waiting."""


class Scoring:
    """Scores images in the order in which they come; those that wait together are scored together.

    Args:
        models: checkpoints by name.
        ways: deliveries by name.
        waiting: number of images that may wait.
        batch: number of images scored together.
        max_pixels: pixels of the largest image that is decoded.
    """

    def __init__(
        self, models: Mapping[str, Model], ways: Mapping[str, SampleFunction], waiting: int, batch: int, max_pixels: int
    ) -> None:
        self.models, self.ways, self.batch, self.max_pixels = dict(models), dict(ways), batch, max_pixels
        self.queue: Queue[Asked | None] = Queue(waiting)

    def stop(self) -> None:
        """Ends `work` once all waiting images are scored."""
        self.queue.put(None)

    def ask(self, asked: Asked) -> None:
        """Puts an image into the queue.

        Raises:
            FullError: the queue is full.
        """
        try:
            self.queue.put_nowait(asked)
        except Full as error:
            raise FullError from error

    def work(self) -> None:
        """Scores images until `stop` is called."""
        with folded_once():  # weights stay as they are
            self._work()

    def _work(self) -> None:
        ended = False
        while not ended:
            together = [self.queue.get()]
            while len(together) < self.batch and together[-1] is not None:
                try:
                    together.append(self.queue.get_nowait())
                except Empty:
                    break
            ended = together[-1] is None
            # an image whose sender gave up is not scored
            live = [one for one in together if one is not None and one.answer.set_running_or_notify_cancel()]
            for again in (True, False):
                some = [one for one in live if one.deliveries == again]
                if some:
                    self._together(some, self.ways if again else {})
            limit_freed_memory()

    def _together(self, asked: Sequence[Asked], ways: Mapping[str, SampleFunction]) -> None:
        try:
            answers = [self._answer(*pair) for pair in zip(asked, self._looks(asked, ways), strict=True)]
        except Exception as error:  # noqa: BLE001 - no image may end the server, or spoil those it is scored with
            if len(asked) > 1:
                for one in asked:
                    self._together([one], ways)
            else:
                traceback.print_exception(error)
                asked[0].answer.set_exception(error)
            return
        for one, answer in zip(asked, answers, strict=True):
            one.answer.set_result(answer)

    def _looks(self, asked: Sequence[Asked], ways: Mapping[str, SampleFunction]) -> Sequence[Any]:
        return looks(self.models, [one.content for one in asked], ways, max_pixels=self.max_pixels)

    def _answer(self, asked: Asked, look: Any) -> dict[str, Any]:
        found = {key: value for key, value in asdict(look).items() if key not in ("image", "maps")}
        answer = {**found, "metadata": described(asked.content, self.max_pixels), "maps": {}}
        if asked.maps and not look.error:
            for name, model in self.models.items():
                for title, values in model.map(asked.content).items() if model.has_maps else ():
                    shown = f"{name}: {title}"
                    answer["maps"][shown] = png_address(draw(values, f"{title}, {model.loaded.detector.map_unit}"))
        return answer


def described(content: bytes, max_pixels: int) -> dict[str, Any]:
    """Facts from the header of a file; empty if it cannot be read."""
    try:
        found = asdict(read_metadata(content, max_pixels, hashes=False))
    except DataError:
        return {}
    names = {"format": "format", "width": "width", "height": "height", "nbytes": "bytes", "quality": "JPEG quality",
             "chroma": "chroma sampling", "notes": "damaged metadata"}  # fmt: skip
    return {shown: found[name] for name, shown in names.items() if found[name]}


def png_address(content: bytes) -> str:
    """A PNG as the address of an image in a page."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


Keep = Callable[[bytes, Mapping[str, Any]], None]
"""Stores an image and its answer."""
