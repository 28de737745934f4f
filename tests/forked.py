"""The real command in children forked from one process that has imported everything; see `zygote`."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 900
"""Seconds after which a command hangs; of no use to one that is merely slow."""
ROOT = Path(__file__).parents[1]


class Commands:
    """Starts commands one after another; each is waited for, or killed, before the next.

    Args:
        folder: working directory of the commands, and home of what they print and note.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"}
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # `select` sees nothing of a line that was read along with the one before
            cwd=self.folder,
            env=env,
            start_new_session=True,
        )
        assert self._answer() == "ready"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zygote.kill()
        self._zygote.communicate()

    def start(self, name: str, words: Sequence[str], ranks: int = 1, hold: int | None = None) -> int:
        """Starts a command; its process id. Prints go to ``<name>.out``, the order of images to ``<name>``.

        Args:
            name: of the command.
            words: its own.
            ranks: how many processes.
            hold: batches begun by commands of this name, at the last of which it waits to be killed.
        """
        request = {"argv": list(words), "cwd": str(self.folder), "log": str(self.folder / name), "ranks": ranks}
        request |= {"hold": hold}
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(request).encode() + b"\n")
        self._pid = int(self._answer())
        return self._pid

    def kill(self) -> int:
        """``kill -9`` for the command last started; its exit code, which is 0 or more if it ended before."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        """The exit code of the command last started; negative for a signal.

        Raises:
            TimeoutError: it hangs.
        """
        if not select.select([self._zygote.stdout], [], [], PATIENCE)[0]:
            os.killpg(self._zygote.pid, signal.SIGKILL)
            raise TimeoutError(f"a command did not end in {PATIENCE} s")
        return int(self._answer())

    def ended(self) -> bool:
        """Whether the command last started has ended by itself; `wait` tells how."""
        assert self._zygote.stdout is not None
        return bool(select.select([self._zygote.stdout], [], [], 0)[0])

    def run(self, name: str, words: Sequence[str], ranks: int = 1) -> str:
        """Runs a command that must succeed; what it (its first rank) printed."""
        self.start(name, words, ranks)
        code = self.wait()
        text = self.printed(name)
        assert code == 0, text
        return text

    def printed(self, name: str) -> str:
        """All that commands of this name have printed; "" before the first has begun."""
        file = self.folder / f"{name}.out"
        return file.read_text() if file.exists() else ""

    def batches(self, name: str) -> list[tuple[int, int, list[str]]]:
        """(epoch, batch, ids) of every training batch that commands of this name have begun."""
        file = self.folder / name
        lines = file.read_text().splitlines() if file.is_file() else []
        return [tuple(json.loads(line)) for line in lines if line.endswith("]]")]

    def _answer(self) -> str:
        assert self._zygote.stdout is not None
        return self._zygote.stdout.readline().decode().strip()
