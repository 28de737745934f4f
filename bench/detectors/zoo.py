"""The published detectors that need no foundation model, trained and tested on the sample corpus: CPU seconds of each.

docs/zoo.yaml contains the command of each method. A method is complete once docs/zoo.json has its AUROC for the same
command, so a stopped run continues; the table of docs/zoo.md is rewritten after each method.
"""

import json
import shlex
import time
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning_main
from bench.parts.table import Row
from bench.parts.timing import pick
from bench.parts.zoo import keep, kept, methods, rewrite

QUIET = "trainer=cpu trainer.enable_progress_bar=false trainer.enable_model_summary=false trainer.log_every_n_steps=1"
KINDS = ("pooled", "seen", "unseen")


def measure() -> list[Row]:
    """Trains and tests the methods that are not complete; returns the CPU seconds of all."""
    wanted = {name: facts for name, facts in methods().items() if "weights" not in facts}
    if quick := pick(True, False):
        wanted = {"tiny_ladeda": wanted["tiny_ladeda"]}
    known = {} if quick else kept()
    if not quick:
        rewrite()  # notes and order may have changed
    with TemporaryDirectory() as folder, chdir(folder):
        for name, facts in wanted.items():
            if known.get(name, {}).get("words") != facts["recipe"]:
                known[name] = _measured(name, facts["recipe"])
                if not quick:
                    keep(name, known[name])
    return [
        Row("zoo", f"{name}, training and test", None, known[name]["cpu_seconds"], "CPU s", None, None)
        for name in wanted
    ]


def _measured(name: str, words: str) -> dict[str, Any]:
    """AUROC with its interval over all test images, seen and unseen generators; and the CPU seconds."""
    if not Path("data.h5").exists():
        _run("task=prepare datamodule=sample prepare.out=data.h5")
    started = time.process_time()
    less = pick("trainer.max_epochs=1 trainer.check_val_every_n_epoch=1", "")
    _run(f"datamodule=hdf5 datamodule.path=data.h5 experiment_id={name} {words} {less}")
    _run(f"task=test experiment_id={name}")
    spent = time.process_time() - started
    rows = json.loads((Path("experiments_data") / name / "window_0" / "metrics.json").read_text())["test"]
    areas = {
        row["kind"]: {key: row[key] for key in ("value", "low", "high")}
        for row in rows
        if row["metric"] == "auroc" and row["kind"] in KINDS
    }
    return {"words": words, "cpu_seconds": round(spent), **areas}


def _run(words: str) -> None:
    code = lightning_main.main([*QUIET.split(), *shlex.split(words)])
    if code:
        raise RuntimeError(f"exit code {code}: {words}")
