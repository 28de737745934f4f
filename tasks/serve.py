"""``task=serve``: a page on this machine that scores images dropped into it, and an interface for programs."""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.files import write_atomically
from contracts.process.memory import one_heap
from tasks.experiment.run import Run

HEADROOM = 64
"""Connections beyond the images that may wait; these get an answer of status 503."""


def serve(run: Run) -> None:
    """Serves a page and ``POST /score`` until a signal stops it; keeps no image unless ``serve.keep`` is set.

    Raises:
        ConfigError: no checkpoint is given, an option is out of range, or the packages of the server are missing.
    """
    options = run.config.serve
    if run.ckpt is None:
        raise ConfigError("task=serve needs weights to score with", "Give ckpt=FILE.")
    try:
        from contracts.web.serving import serve as listen
        from tasks.serving.server import Limits, Server
    except ImportError as error:
        raise ConfigError("task=serve needs Starlette and uvicorn", "pip install 'pixelproof[serve]'") from error
    _check(options)
    from datamodules.deliveries.cache import delivered  # slow: OpenCV
    from datamodules.deliveries.deliveries import chosen
    from tasks.models.look import loaded
    from tasks.serving.scoring import Scoring

    ways = delivered(chosen(list(options.deliveries)), None) if options.deliveries else {}
    limits = Limits(options.max_bytes, options.max_pixels, options.waiting, options.seconds)
    keep = Kept(Path(options.keep).expanduser()) if options.keep else None
    one_heap()
    # the thread that scores also loads: with OpenMP threads for a second one, those of both would sleep between layers
    with ThreadPoolExecutor(1, "scoring") as thread:
        models = thread.submit(loaded, [str(run.ckpt), *options.further]).result()
        scoring = Scoring(models, ways, options.waiting, options.batch, options.max_pixels)
        working = thread.submit(scoring.work)
        try:
            listen(
                lambda _end: Server(scoring, limits, options.token, keep).app(), "serve.port", options.port, _announce,
                host=options.host, connections=options.waiting + HEADROOM,
            )  # fmt: skip
        finally:
            scoring.stop()
            working.result()  # raises what ended it


def _announce(address: str, end: Callable[[], None]) -> None:  # noqa: ARG001 - a test ends the server with it
    print(f"Open {address} in a browser, or send an image to {address}score; Ctrl-C stops the server.", flush=True)


def _check(options: Any) -> None:
    from contracts.web.serving import LOOPBACK  # needs optional packages

    for name, least in (("waiting", 1), ("batch", 1), ("max_bytes", 1), ("max_pixels", 1)):
        if getattr(options, name) < least:
            raise ConfigError(f"serve.{name}={getattr(options, name)}", f"Give {least} or more.")
    if options.seconds <= 0:
        raise ConfigError(f"serve.seconds={options.seconds}", "Give a number of seconds above 0.")
    if not 0 <= options.port <= 65535:
        raise ConfigError(f"serve.port={options.port}", "Give 1 to 65535, or 0 for a free port.")
    if options.host not in LOOPBACK and len(options.token or "") < 16:
        raise ConfigError(
            f"serve.host={options.host} can be reached from other machines, without a token of 16 characters or more",
            "Give serve.token=TEXT, for example the output of: python -c 'import secrets; print(secrets.token_hex())'.",
        )


class Kept:
    """Stores images under their hash, and answers as lines of ``answers.jsonl``.

    Args:
        folder: folder to write to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._lock = folder, threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, content: bytes, answer: Mapping[str, Any]) -> None:
        """Stores one image and its answer, without the maps."""
        digest = hashlib.sha256(content).hexdigest()
        file = self.folder / f"{digest}.image"
        if not file.exists():
            write_atomically(file, content)
        line = json.dumps({"sha256": digest, **{key: value for key, value in answer.items() if key != "maps"}})
        with self._lock, (self.folder / "answers.jsonl").open("a", encoding="utf-8") as answers:
            answers.write(line + "\n")
