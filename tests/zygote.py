"""Runs the real command in forked children, so that a test can start (and kill) it often without importing torch anew.

Started once as ``python -m zygote``; then every line on standard input is a JSON request
``{"argv": [...], "cwd": "...", "log": "...", "env": {...}, "ranks": 1, "hold": null}``, answered by the pid of the
child, and on its end by its exit code; of several ranks, each a child, the first one's pid and the first code that is
not 0. Children write what they print to ``<log>.out``, and each training batch's image ids to ``<log>`` as a line
``[epoch, batch, [ids]]`` before the step is taken; with ``hold`` lines there, a child waits to be killed.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import timm  # noqa: F401 - what commands import when they need it is imported here once, for all children
from free_ports import free_ports
from tqdm import tqdm

import lightning_main
from callbacks import checkpoints  # noqa: F401
from conf.compose import compose
from contracts.batch import Batch
from datamodules import hdf5  # noqa: F401
from detectors.base import Detector
from detectors.classifier import detector as classifier  # noqa: F401
from detectors.npr import detector as npr  # noqa: F401
from tasks import fit, predict, test  # noqa: F401


def record_order(path: str, hold: int | None = None) -> None:
    """Notes the ids of every training batch, in the order in which the network sees them, and holds at one."""
    step = Detector.training_step

    def noted(self: Detector, batch: Batch, batch_idx: int) -> Any:
        manifest = self.trainer.datamodule.manifest()  # type: ignore[attr-defined]
        ids = [manifest.image_id(row) for row in batch.row.tolist()]
        with Path(path).open("a") as file:
            file.write(json.dumps([self.current_epoch, batch_idx, ids]) + "\n")
        if hold is not None and len(Path(path).read_text().splitlines()) >= hold:
            time.sleep(3600)
        return step(self, batch, batch_idx)

    Detector.training_step = noted  # type: ignore[method-assign]


def run(request: dict[str, Any]) -> None:
    tqdm.set_lock(threading.RLock())  # the inherited one is shared: killed with it, a child would stop all others
    os.environ.update(request.get("env", {}))
    os.chdir(request["cwd"])
    with Path(request["log"] + ".out").open("a") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    record_order(request["log"], request.get("hold"))
    sys.argv = ["lightning_main.py", *request["argv"]]
    try:
        code = lightning_main.main()
    except SystemExit as stop:
        code = stop.code  # type: ignore[assignment]
    except BaseException:  # noqa: BLE001 - a child must end with a code, whatever happened in it
        import traceback

        traceback.print_exc()
        code = 99
    sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 1 if code else 0)


def ranks(request: dict[str, Any]) -> list[dict[str, Any]]:
    """One request a rank: those of a job that ``torchrun`` would start, where several are asked for."""
    count = request.get("ranks", 1)
    if count == 1:
        return [request]
    (port,) = free_ports(1)
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "drawn"}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "GROUP_RANK": "0"}
    one = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    logs = [request["log"] + (f".{rank}" if rank else "") for rank in range(count)]
    given = request.get("env", {}) | shared
    return [request | {"log": log, "env": given | env} for log, env in zip(logs, one, strict=True)]


def main() -> None:
    compose([])  # Hydra's grammar is built on first use
    print("ready", flush=True)
    for line in sys.stdin:
        children = []
        for request in ranks(json.loads(line)):
            children.append(os.fork())
            if children[-1] == 0:
                run(request)
        print(children[0], flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(next((code for code in codes if code), 0), flush=True)


if __name__ == "__main__":
    main()
