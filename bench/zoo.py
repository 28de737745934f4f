"""The published detectors, trained and tested on the sample corpus: the table of docs/zoo.md.

``docs/zoo.yaml`` says how each is trained, from scratch and by the command line. Those that need a foundation model get
a tiny one of random weights, and the table says so; images/s would be those of the toy, and are left out.
"""

import json
import os
import shlex
from collections.abc import Mapping
from contextlib import chdir
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import timm
import torch
import yaml

import lightning_main
from bench.parts.npr import textured
from bench.parts.table import Row
from bench.parts.timing import interleaved, pick
from conf.build import build
from contracts.errors import DataError
from contracts.files import write_atomically
from datamodules.loading.parallel import cores
from detectors.base import Detector
from detectors.parts.weights import load_weights

DOCS = Path(__file__).resolve().parent.parent / "docs"
MARKS = ("<!-- python -m bench zoo writes from here -->", "<!-- to here -->")
QUIET = "trainer=cpu trainer.enable_progress_bar=false trainer.enable_model_summary=false trainer.log_every_n_steps=1"
HEAD = "| detector | parameters (trained) | images/s | AUROC | generators seen | not seen | training here |"


def measure() -> list[Row]:
    """Images/s at 256² of every method that is no toy; a run that is not quick also writes the table."""
    torch.set_num_threads(cores())
    methods: dict[str, dict[str, Any]] = yaml.safe_load((DOCS / "zoo.yaml").read_text())
    names = pick(["tiny_ladeda"], list(methods))
    wanted = os.environ.get("PIXELPROOF_ZOO", "").split() or names
    with TemporaryDirectory() as folder, chdir(folder):
        _run("task=prepare datamodule=sample prepare.out=data.h5")
        torch.manual_seed(0)
        torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), "toy.pth")
        kept = DOCS / "zoo.json"
        known: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else {}
        for name in wanted:
            known[name] = _measured(name, methods[name])
            if pick(False, True):  # after each, since all of them take long
                write_atomically(kept, (json.dumps(known, indent=1) + "\n").encode())
                page = DOCS / "zoo.md"
                write_atomically(page, written(page.read_text(), methods, known).encode())
    return [
        Row("zoo", f"{name}, 256², batch {pick(4, 16)}", None, known[name]["rate"], "images/s", None, None)
        for name in wanted
        if known[name]["rate"]
    ]


def written(page: str, methods: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page with a new table between `MARKS`.

    Args:
        page: text of docs/zoo.md.
        methods: facts by name, which order the rows.
        found: what `measure` measured, by name; methods without it have no row.

    Raises:
        DataError: the page lacks a mark.
    """
    before, first, rest = page.partition(MARKS[0])
    _, second, after = rest.partition(MARKS[1])
    if not first or not second:
        raise DataError(f"docs/zoo.md lacks {MARKS[1] if first else MARKS[0]}", "Restore the marks of its table.")
    lines = [HEAD, "|---|--:|--:|--:|--:|--:|---|"]
    for name, facts in methods.items():
        if name in found:
            one = found[name]
            rate = f"{one['rate']:.0f}" if one["rate"] else ""
            parameters = f"{one['parameters']:,} ({one['trained']:,})"
            cells = [f"`{name}`", parameters, rate, *(_area(one.get(kind)) for kind in ("pooled", "seen", "unseen"))]
            lines.append("| " + " | ".join([*cells, facts["training"]]) + " |")
    return "\n".join([before + first, *lines, second + after])


def _area(found: Mapping[str, float] | None) -> str:
    return "" if found is None else f"{found['value']:.2f} ({found['low']:.2f}–{found['high']:.2f})"


def _run(words: str) -> None:
    code = lightning_main.main([*QUIET.split(), *shlex.split(words)])
    if code:
        raise RuntimeError(f"exit code {code}: {words}")


def _measured(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters, images/s, and AUROC with its interval over all test images, and seen and unseen generators."""
    epochs = pick(1, facts.get("epochs", 1))
    words = f"datamodule=hdf5 datamodule.path=data.h5 experiment_id={name} trainer.max_epochs={epochs}"
    _run(f"{words} {facts['words']}")
    _run(f"task=test experiment_id={name}")
    stage = Path("experiments_data") / name / "window_0"
    rows = json.loads((stage / "metrics.json").read_text())["test"]
    areas = {
        row["kind"]: {key: row[key] for key in ("value", "low", "high")}
        for row in rows
        if row["metric"] == "auroc" and row["kind"] in ("pooled", "seen", "unseen")
    }
    detector: Detector = build(yaml.safe_load((stage / "config.yaml").read_text())["detector"])
    load_weights(detector, stage / "checkpoints" / "best.ckpt")
    sizes = {
        "parameters": sum(one.numel() for one in detector.parameters()),
        "trained": sum(one.numel() for one in detector.trainable()),
    }
    return {**sizes, "rate": None if facts.get("toy") else _rate(detector), **areas}


@torch.inference_mode()
def _rate(detector: Detector) -> float:
    """Images/s of scores, the best of a few repetitions."""
    detector.eval()
    detector.configure_model()
    batch = textured(count := pick(4, 16))
    return count / interleaved({"score": partial(detector.score, batch)}, pick(1, 3))["score"].best
