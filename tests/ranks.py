"""Several ranks of one command, forked from a process that has imported everything, as an outside launcher starts them.

Started as ``python -m ranks``; a line on standard input is a request ``{"argv", "cwd", "log", "ranks"}``, answered by
the pids, and when all have ended by their exit codes.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from free_ports import free_ports

ROOT = Path(__file__).parents[1]
PATIENCE = 900
"""Seconds after which something hangs."""


class Ranks:
    """Starts commands of several ranks one after another.

    Args:
        folder: working directory; rank r prints to ``<name>.<r>.out`` and notes the order of images in ``<name>.<r>``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __enter__(self) -> Self:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "WORLD", "LOCAL_"))}
        env |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ranks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # `select` sees nothing of a line that was read along with the one before
            cwd=self.folder,
            env=env,
        )
        assert self._answer(PATIENCE) == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)

    def start(self, name: str, words: Sequence[str], count: int) -> list[int]:
        """Starts a command; the process ids by rank."""
        request = {"argv": list(words), "cwd": str(self.folder), "log": str(self.folder / name), "ranks": count}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self.pids: list[int] = self._answer(PATIENCE)
        return self.pids

    def wait(self, seconds: float = PATIENCE) -> list[int]:
        """Exit codes by rank.

        Raises:
            TimeoutError: the ranks hang; they are killed then.
        """
        try:
            codes: list[int] = self._answer(seconds)
        except TimeoutError:
            for pid in self.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._answer(PATIENCE)
            raise
        return codes

    def ended(self) -> bool:
        """Whether all ranks of the command last started have ended by themselves; `wait` tells how."""
        return bool(select.select([self._process.stdout], [], [], 0)[0])

    def printed(self, name: str, rank: int) -> str:
        """All that a rank of this name has printed."""
        return (self.folder / f"{name}.{rank}.out").read_text()

    def _answer(self, seconds: float) -> Any:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"no answer in {seconds} s")
        return json.loads(self._process.stdout.readline())


def _serve() -> None:
    import zygote

    from conf.compose import compose
    from contracts.process.stop import SIGNALS

    compose([])
    # as launchers do: before the command has handlers a signal waits, and behind its end there is nothing to stop
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    for signum in SIGNALS:
        signal.signal(signum, lambda *_: None)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        (port,) = free_ports(1)
        count = request["ranks"]
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "NODE_RANK": "0"}
        pids = []
        for rank in range(count):
            pid = os.fork()
            if pid == 0:
                env = place | {"LOCAL_RANK": str(rank)} if count > 1 else {}
                zygote.run(request | {"log": f"{request['log']}.{rank}", "env": env})
            pids.append(pid)
        print(json.dumps(pids), flush=True)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]), flush=True)


if __name__ == "__main__":
    _serve()
