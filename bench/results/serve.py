"""Images/s of ``task=serve`` with 20 clients, against ``task=predict`` on the same files, on a CPU."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TextIO, cast

import torch

from bench.parts.table import Row, rate
from bench.parts.timing import Timing, interleaved, pick
from contracts.view import View
from datamodules.sample import SampleDataModule
from detectors.npr.detector import NPR
from lightning_main import main

CLIENTS = 20
TARGET = 0.8
WORDS = ["ckpt=exported", "trainer=cpu"]
CLIENT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import cast
from threading import local

kept, (host, clients, folder) = local(), sys.argv[1:]

def send(file):
    connection = vars(kept).setdefault("connection", HTTPConnection(host, timeout=600))
    while True:
        connection.request("POST", "/score", file.read_bytes())
        reply = connection.getresponse()
        reply.read()
        if reply.status != 503:
            return reply.status

with ThreadPoolExecutor(int(clients)) as pool:
    assert set(pool.map(send, sorted(Path(folder).iterdir()))) == {200}
"""
"""A separate program, as clients are, whose threads send one image after the other."""


def measure() -> list[Row]:
    """Measures NPR on the sample corpus at native size, without deliveries and maps."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        count = _files(Path("images"))
        torch.manual_seed(0)
        torch.save({"state_dict": NPR(View(), View()).state_dict()}, "npr.ckpt")
        exported = ["task=export", "detector=npr", "ckpt=npr.ckpt", "export.out=exported", "export.images=1"]
        with redirect_stdout(StringIO()):
            if main(exported):
                raise RuntimeError("task=export failed")
            timings = _timed(Path("images"))
    note = f"baseline: task=predict, without its imports; server and {CLIENTS} clients in processes of their own"
    return [rate("serve", f"npr, {count} images of the sample corpus", *timings, count, TARGET, note)]


def _files(folder: Path) -> int:
    """Writes the corpus's images as files; returns their number."""
    data = SampleDataModule()
    store, rows = data.store(), range(len(data.manifest()))[:: pick(12, 1)]
    folder.mkdir()
    for row in rows:
        (folder / f"{row:03d}.webp").write_bytes(cast(bytes, store.read(row)))  # as they are in the corpus
    return len(rows)


def _timed(folder: Path) -> tuple[Timing, Timing]:
    """Times ``task=predict`` and the clients, each with all files."""
    words = [sys.executable, "-m", "lightning_main", "task=serve", "serve.deliveries=[]", *WORDS]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own interpreter
    host = cast(TextIO, server.stdout).readline().split()[1].removeprefix("http://").rstrip("/")
    outputs = iter(range(1000))

    def predict() -> None:
        words = ["task=predict", "datamodule=folder", f"datamodule.path={folder}", f"predict.out=out{next(outputs)}"]
        if main([*words, "trainer.enable_progress_bar=false", *WORDS]):
            raise RuntimeError("task=predict failed")

    spent: list[float] = []

    def clients() -> None:
        before = _cpu(server.pid)
        words = [sys.executable, "-c", CLIENT, host, str(CLIENTS), str(folder)]
        subprocess.run(words, check=True)  # noqa: S603 - our own interpreter
        spent.append(_cpu(server.pid) - before)

    try:
        timings = interleaved({"predict": predict, "serve": clients}, pick(1, 5))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    timings["serve"].cpu = [own + its for own, its in zip(timings["serve"].cpu, spent[1:], strict=True)]
    return timings["predict"], timings["serve"]


def _cpu(process: int) -> float:
    """CPU seconds of a process that still runs."""
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
