"""A place to submit jobs from, and what is asked of them: experiments, searches, preparations."""

import io
import json
import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cluster import PATIENCE, Cluster, until

import lightning_main
from benchmarks.ai_genbench.protocol.generators import load_generators

PROGRAM = Path(__file__).with_name("program.py")
ROOT = Path(__file__).parents[2]
EPOCHS, BATCHES = 2, 6
WORDS = (
    "task=fit datamodule=hdf5 datamodule.path=drawn.h5 datamodule.batch_size=4 "
    "detector=classifier detector.backbone=timm/test_resnet detector.pretrained=false detector.image_size=32 "
    f"detector.dropout=0.3 trainer=cpu trainer.max_epochs={EPOCHS} trainer.enable_progress_bar=false logger=null"
).split()
GENERATORS = [generator.name for generator in load_generators()[:2]]
MINIATURE = (
    "datamodule=ai_genbench datamodule.path=mini datamodule.batch_size=2 benchmark=ai_genbench benchmark.window_size=1 "
    "benchmark.crop_size=32 benchmark.global_batch=4 benchmark.augmentation_factor=2 benchmark.monitor_images=8 "
    "benchmark.test_images=all trainer.max_epochs=1"
)
WINDOWS = [*MINIATURE.split(), f"benchmark.generators=[{','.join(GENERATORS)}]"]
"""The miniature AI-GenBench of two windows."""
SEARCH = {
    "program": "lightning_main.py",
    "method": "random",
    "metric": {"name": "val/loss", "goal": "minimize"},
    "run_cap": 2,
    "command": ["${env}", "${interpreter}", "${program}", *WORDS, "${args_no_hyphens}"],
    "parameters": {"detector.optimizer.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}},
}
PREPARE = ["task=prepare", "prepare.storage=pixels", "prepare.size=16", "prepare.workers=1", "prepare.shards=3"]
STUDY = "sweep.study=search/study.db"
SLURM = ["launcher=slurm", "launcher.cpus_per_task=1", "launcher.minutes=55"]


@dataclass
class Job:
    """A submitted job and where it leaves its results."""

    name: str
    number: int
    folder: Path
    printed: str

    def numbers(self) -> list[int]:
        """Of all jobs that were submitted with it."""
        return [int(number) for number in re.findall(r"^job (\d+):", self.printed, re.MULTILINE)]

    def log(self) -> str:
        """All that it has printed, in all its lives."""
        line = next(line for line in self.printed.splitlines() if "log:" in line)
        file = Path(line.partition(":")[2].strip())
        return file.read_text() if file.is_file() else ""


class Lab:
    """Submits the paced command by the real launcher."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder

    def submit(self, name: str, *words: str, many: bool = False, forked: bool = True, **env: str) -> Job:
        """By the real launcher, in this process, which spares an import each time.

        Args:
            name: of the job, for the test.
            words: further ones.
            many: with ``-m``.
            forked: by the nursery, or started as users' jobs are.
            env: environment variables.
        """
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
            for key, value in (self.cluster.environment | env).items():
                patch.setenv(key, value)
            if forked:
                patch.setenv("NURSERY", self.cluster.nursery)
            patch.setenv("HELD", str(self.folder / name))
            patch.setenv("PYTHONPATH", str(ROOT))
            patch.setattr(lightning_main, "__file__", str(PROGRAM))
            patch.chdir(self.folder)
            assert lightning_main.main([*(["-m"] if many else []), *WORDS, *SLURM, *words]) == 0
        told = printed.getvalue()
        number = re.findall(r"^job (\S+):", told, re.MULTILINE)[0]
        given = next((word.partition("=")[2] for word in words if word.startswith("experiment_id=")), number)
        return Job(name, int(number.partition("_")[0]), self.folder / "experiments_data" / given, told)

    def held(self, job: Job, ranks: int = 1) -> None:
        """Waits until a job is held."""
        for rank in range(ranks):
            self.there(job, self.folder / f"{job.name}.{rank}")

    def there(self, job: Job, file: Path) -> None:
        """Waits for a file that a job, or its array, makes."""

        def seen() -> bool:
            assert file.exists() or self.cluster.job(job.number)["JobState"] != "FAILED", job.log()
            return file.exists()

        until(seen, PATIENCE, job.log)

    def array_completed(self, job: Job, count: int) -> None:
        """Waits for a good end of all jobs of an array."""

        def ended() -> bool:
            states = [one["JobState"] for one in self.cluster.of_array(job.number)]
            assert not {"FAILED", "CANCELLED"} & set(states), job.log()
            return states == ["COMPLETED"] * count

        until(ended, PATIENCE, job.log)

    def completed(self, job: Job, restarts: int | None = None) -> None:
        """Waits for a good end, after so many restarts as SLURM counts them."""
        told = self.cluster.wait(job.number, "COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL")
        assert told["JobState"] == "COMPLETED", job.log()
        assert told["ExitCode"] == "0:0"
        assert restarts is None or told["Restarts"] == str(restarts), job.log()


def results(folder: Path, windows: int = 1, ranks: int = 1, ordered: bool = True) -> list[Any]:
    """Weights, scores, tables and, where it was noted, the order of images of every window."""
    found: list[Any] = []
    for window in range(windows):
        stage = folder / f"window_{window}"
        assert (stage / "done").exists()
        last = torch.load(stage / "checkpoints/last.ckpt", weights_only=True)
        with np.load(stage / "predictions_validate_all.npz", allow_pickle=False) as dump:
            scores = {name: dump[name].tobytes() for name in dump.files if name != "provenance"}
        weights = {name: tensor.numpy().tobytes() for name, tensor in last["state_dict"].items()}
        orders = [order(stage / f"order_{rank}") for rank in range(ranks)] if ordered else []
        found.append((weights, scores, json.loads((stage / "metrics.json").read_text()), orders))
    return found


def order(file: Path) -> list[Any]:
    """The images of every batch; of a batch begun twice, the later time."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return sorted({(epoch, batch): ids for epoch, batch, ids in lines}.items())
