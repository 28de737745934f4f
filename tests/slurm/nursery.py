"""Commands on the nodes without an import each: one process that has imported everything forks them.

``python nursery.py SOCKET`` serves. What SLURM starts is then a stand-in (`handed_over`) that takes a moment to start:
it hands its words, folder, environment and outputs over, passes signals on, and ends as the command ends. Killed, it
takes the command along.
"""

import contextlib
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

SIGNALS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


def handed_over(place: str) -> int:
    """Has the command of this process run by the nursery at ``place``; its exit code."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(place)
        request = json.dumps({"argv": sys.argv[1:], "cwd": str(Path.cwd()), "env": dict(os.environ)}).encode()
        socket.send_fds(line, [len(request).to_bytes(4, "big")], [1, 2])
        line.sendall(request)
        line.recv(1)  # it is born, with these signals held back
        for signum in SIGNALS:
            signal.signal(signum, lambda number, _: line.sendall(bytes([number])))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        answer = line.recv(16)
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
    return int(answer or b"99")


def serve(place: str, run: Any) -> None:
    """Forks a guardian for each stand-in, which forks the command.

    Args:
        place: of the socket.
        run: the command, given its words; returns its exit code.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for guardians
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(place)
        door.listen(64)
        while True:
            line, _ = door.accept()
            if os.fork() == 0:
                door.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                with contextlib.suppress(ConnectionError):
                    _guard(line, run)
                os._exit(0)
            line.close()


def _guard(line: socket.socket, run: Any) -> None:
    length, outputs, _, _ = socket.recv_fds(line, 4, 2)
    request = json.loads(line.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL))
    child = os.fork()
    if child == 0:
        line.close()
        for output, own in zip(outputs, (1, 2), strict=True):
            os.dup2(output, own)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.argv[1:] = request["argv"]
        code = run(request["argv"])
        sys.stdout.flush()
        os._exit(code)
    line.sendall(b"!")
    ended = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([line, ended], [], [])
        if ended in ready:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            line.sendall(str(code if code >= 0 else 128 - code).encode())
            return
        told = line.recv(16)
        for signum in told or bytes([signal.SIGKILL]):
            os.kill(child, signum)
        if not told:
            os.waitpid(child, 0)
            return


def main(place: str) -> None:
    """Imports what commands import when they need it, once for all, and serves."""
    import threading
    import traceback

    import paced
    import timm  # noqa: F401
    from tqdm import tqdm

    import lightning_main
    from benchmarks.ai_genbench import benchmark  # noqa: F401
    from callbacks import checkpoints  # noqa: F401
    from conf.compose import compose
    from datamodules import ai_genbench, hdf5  # noqa: F401
    from detectors import classifier  # noqa: F401
    from tasks import fit, predict, test  # noqa: F401

    def run(words: list[str]) -> int:
        tqdm.set_lock(threading.RLock())  # the inherited one is shared
        try:
            return lightning_main.main(words)
        except SystemExit as stop:
            return stop.code if isinstance(stop.code, int) else 1
        except BaseException:  # noqa: BLE001 - a child must end with a code, whatever happened in it
            traceback.print_exc()
            return 1

    compose([])  # Hydra's grammar is built on first use
    paced.prepare()
    serve(place, run)


if __name__ == "__main__":
    main(sys.argv[1])
