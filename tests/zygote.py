"""Runs the real command in forked children, so that a test can start (and kill) it often without importing torch anew.

Started once as ``python -m tests.zygote``; then every line on standard input is a JSON request
``{"argv": [...], "cwd": "...", "log": "...", "env": {...}}``, answered by the pid of the child, and on its end by its
exit code. Children write what they print to ``<log>.out``, and each training batch's image ids to ``<log>`` as a line
``[epoch, batch, [ids]]`` before the step is taken.
"""

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import timm  # noqa: F401 - what commands import when they need it is imported here once, for all children
from tqdm import tqdm

import lightning_main
from callbacks import checkpoints  # noqa: F401
from conf.compose import compose
from contracts.batch import Batch
from datamodules import hdf5  # noqa: F401
from detectors import classifier, npr  # noqa: F401
from detectors.base import Detector
from tasks import fit, predict, test  # noqa: F401


def record_order(path: str) -> None:
    """Notes the ids of every training batch, in the order in which the network sees them."""
    step = Detector.training_step

    def noted(self: Detector, batch: Batch, batch_idx: int) -> Any:
        manifest = self.trainer.datamodule.manifest()  # type: ignore[attr-defined]
        ids = [manifest.image_id(row) for row in batch.row.tolist()]
        with Path(path).open("a") as file:
            file.write(json.dumps([self.current_epoch, batch_idx, ids]) + "\n")
        return step(self, batch, batch_idx)

    Detector.training_step = noted  # type: ignore[method-assign]


def run(request: dict[str, Any]) -> None:
    tqdm.set_lock(threading.RLock())  # the inherited one is shared: killed with it, a child would stop all others
    os.environ.update(request.get("env", {}))
    os.chdir(request["cwd"])
    with Path(request["log"] + ".out").open("a") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    record_order(request["log"])
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


def main() -> None:
    compose([])  # Hydra's grammar is built on first use
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            run(json.loads(line))
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
