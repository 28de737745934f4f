"""Start-up: whole commands on the demo, against ``python -c "import torch"``.

Each command is a fresh process. Its figure is its CPU seconds divided by those of importing torch, so that it depends
little on the machine and on other load.
"""

import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.parts.images import jpegs
from bench.parts.memory import PROGRAM
from bench.parts.table import Row
from bench.parts.timing import Timing, interleaved, pick

TARGETS: dict[str, float | None] = {
    "--help": 0.25,
    "a refused typo": 0.25,
    "task=review of a dump": 0.9,
    "task=doctor of the demo": 1.5,
    "task=predict of one image": 2.2,
    "importing Lightning": None,
    "task=fit to its first training step": None,
}
"""Target ratios; None if most of the time is the import of Lightning, which training needs."""

DEMO = ("experiment=demo", "datamodule.path=experiments_data/demo/data.h5", "trainer.enable_progress_bar=false")


def measure() -> list[Row]:
    """Measures the ratio of each command to the import of torch, best of three rounds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return rows(interleaved(_ways(folder), pick(1, 3)))


def rows(timings: Mapping[str, Timing]) -> list[Row]:
    """A row for each command; ``timings["torch"]`` is the baseline."""
    base = timings["torch"].best_cpu
    ratios = {way: timings[way].best_cpu / base for way in TARGETS}
    return [
        Row("start-up", way, None, ratios[way], "× import torch", None, target, _note(timings[way], base))
        for way, target in TARGETS.items()
    ]


def _note(timing: Timing, base: float) -> str:
    return f"CPU seconds {timing.best_cpu:.2f}, importing torch {base:.2f}; wall {timing.best:.2f} s"


def _run(folder: Path, words: Sequence[str], code: int = 0) -> None:
    """Runs Python with these arguments in a folder; shows its output if the exit code is not the expected one."""
    # an empty PYTHONDONTWRITEBYTECODE keeps compiled modules for the next call, as Python does by default
    added = {"PYTHONPATH": str(PROGRAM.parent), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, *words], cwd=folder, env=os.environ | added, capture_output=True, text=True, check=False
    )
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _ways(folder: Path) -> dict[str, Callable[[], None]]:
    """The commands, after a demo of one epoch that gives them a checkpoint and a dump."""
    run = partial(_run, folder)
    run([str(PROGRAM), "task=prepare", "experiment_id=demo", "datamodule=sample"])
    run([str(PROGRAM), *DEMO, "experiment_id=demo", "trainer.max_epochs=1"])
    run([str(PROGRAM), "task=test", "experiment_id=demo"])
    window = next(folder.glob("experiments_data/demo/window_*"))
    dump, checkpoint = window / "predictions_test_all.npz", window / "checkpoints" / "best.ckpt"
    image = folder / "image.jpg"
    image.write_bytes(jpegs(512, 1)[0])
    number = itertools.count()

    def fit() -> None:
        run(["-m", "bench.parts.first_step", *DEMO, f"experiment_id=fit{next(number)}"])

    return {
        "torch": lambda: run(["-c", "import torch"]),
        "--help": lambda: run([str(PROGRAM), "--help"]),
        "a refused typo": lambda: run([str(PROGRAM), *DEMO, "trainer.max_epoch=1"], 2),
        "task=review of a dump": lambda: run(
            [str(PROGRAM), "task=review", f"review.inputs=[{dump}]", "review.out=review"]
        ),
        "task=doctor of the demo": lambda: run([str(PROGRAM), "task=doctor", *DEMO]),
        "task=predict of one image": lambda: run(
            [
                str(PROGRAM), "task=predict", f"ckpt={checkpoint}", "datamodule=folder", f"datamodule.path={image}",
                "predict.out=scores", "trainer=cpu",
            ]
        ),
        "importing Lightning": lambda: run(["-c", "import pytorch_lightning"]),
        "task=fit to its first training step": fit,
    }  # fmt: skip
