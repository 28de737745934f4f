"""On a real cluster: whatever ends a job, nothing is lost, and SLURM calls things by their name."""

import io
import json
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drawn
import numpy as np
import pytest
import torch
from cluster import Cluster, until

import lightning_main

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

PROGRAM = Path(__file__).with_name("paced.py")
HOUSE = Path(__file__).parents[2]
EPOCHS, BATCHES = 2, 6
WORDS = (
    "task=fit datamodule=hdf5 datamodule.path=drawn.h5 datamodule.batch_size=4 "
    "detector=classifier detector.backbone=timm/test_resnet detector.pretrained=false detector.image_size=32 "
    f"detector.dropout=0.3 trainer=cpu trainer.max_epochs={EPOCHS} trainer.enable_progress_bar=false logger=null"
).split()
SLURM = ["launcher=slurm", "launcher.cpus_per_task=1", "launcher.minutes=55"]


@dataclass
class Job:
    """A submitted job and where it leaves its results."""

    name: str
    number: int
    folder: Path
    printed: str

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

    def submit(self, name: str, *words: str, many: bool = False, **env: str) -> Job:
        """By the real launcher, in this process, which spares an import each time."""
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
            for key, value in (self.cluster.environment | env).items():
                patch.setenv(key, value)
            patch.setenv("HELD", str(self.folder / name))
            patch.setenv("PYTHONPATH", str(HOUSE))
            patch.setattr(lightning_main, "__file__", str(PROGRAM))
            patch.chdir(self.folder)
            assert lightning_main.main([*(["-m"] if many else []), *WORDS, *SLURM, *words]) == 0
        told = printed.getvalue()
        number = told.split(":")[0].split()[-1]
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

        until(seen, 240, job.log)

    def completed(self, job: Job, restarts: int | None = None) -> None:
        """Waits for a good end, after so many restarts as SLURM counts them."""
        told = self.cluster.wait(job.number, "COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL")
        assert told["JobState"] == "COMPLETED", job.log()
        assert told["ExitCode"] == "0:0"
        assert restarts is None or told["Restarts"] == str(restarts), job.log()


def results(folder: Path, windows: int = 1, ranks: int = 1) -> list[Any]:
    """Weights, scores, tables and the order of images of every window."""
    found: list[Any] = []
    for window in range(windows):
        stage = folder / f"window_{window}"
        assert (stage / "done").exists()
        last = torch.load(stage / "checkpoints/last.ckpt", weights_only=True)
        with np.load(stage / "predictions_validate_all.npz", allow_pickle=False) as dump:
            scores = {name: dump[name].tobytes() for name in dump.files if name != "provenance"}
        weights = {name: tensor.numpy().tobytes() for name, tensor in last["state_dict"].items()}
        orders = [order(stage / f"order_{rank}") for rank in range(ranks)]
        found.append((weights, scores, json.loads((stage / "metrics.json").read_text()), orders))
    return found


def order(file: Path) -> list[Any]:
    """The images of every batch; of a batch begun twice, the later time."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return sorted({(epoch, batch): ids for epoch, batch, ids in lines}.items())


@pytest.fixture(scope="module")
def lab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    drawn.hdf5(folder / "drawn.h5", {"train": 4 * BATCHES + 2, "valid": 12})
    return Lab(cluster, folder)


class Fleet:
    """Jobs side by side, each where what is done to it touches no other; a group starts when one of it is asked for."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.jobs: dict[str, Job] = {}
        self.groups = {
            "array by_hand cancelled put_back limit": self._told,
            "grace curt lost validation write window windows": self._taken,
            "two_nodes two_undisturbed": self._twofold,
        }

    def __getitem__(self, name: str) -> Job:
        for names, start in self.groups.items():
            if name in names.split() and name not in self.jobs:
                self.jobs |= {job.name: job for job in start()}
        return self.jobs[name]

    def _told(self) -> list[Job]:
        submit = self.lab.submit
        return [
            submit("array", "seed=100,1,2", on("n1"), many=True),
            submit("by_hand", on("n2"), HOLD="step"),
            submit("cancelled", on("n2"), "experiment_id=cancelled", HOLD="step"),
            submit("put_back", on("n2"), HOLD="step"),
            submit("limit", on("n2"), "launcher.minutes=1", "launcher.signal_s=20", HOLD="step"),
        ]

    def _taken(self) -> list[Job]:
        submit = self.lab.submit
        return [
            submit("grace", on("n3"), "launcher.partition=low", HOLD="step"),
            submit("curt", on("n4"), "launcher.partition=curt", HOLD="step"),
            submit("lost", on("n5"), HOLD="step"),
            submit("validation", on("n8"), "callbacks.preemption.grace=0", HOLD="validation"),
            submit("write", on("n8"), HOLD="write"),
            submit("window", on("n8"), HOLD="window", WINDOWS="2"),
            submit("windows", on("n1"), WINDOWS="2"),
        ]

    def _twofold(self) -> list[Job]:
        return [self.lab.submit("two_nodes", *TWO, HOLD="step"), self.lab.submit("two_undisturbed", *TWO)]


@pytest.fixture(scope="module")
def fleet(lab: Lab) -> Fleet:
    return Fleet(lab)


def on(nodes: str) -> str:
    return f"launcher.options={{nodelist: '{nodes}'}}"


TWO = (on("n6,n7"), "trainer.num_nodes=2", "trainer.devices=1", "trainer.strategy=ddp")


@pytest.fixture(scope="module")
def undisturbed(lab: Lab, fleet: Fleet) -> list[Any]:
    """The first job of the array is the yardstick of all others."""
    job = fleet["array"]
    folders = [lab.folder / f"experiments_data/{job.number}_{n}" for n in range(3)]
    for folder in folders:
        lab.there(job, folder / "window_0/done")
    return results(folders[0])


def test_an_array_of_three(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["array"]
    for word in (f"scancel {job.number}_2", f"experiment_id={job.number}_1", "tail -F"):
        assert word in job.printed
    weights = [results(lab.folder / f"experiments_data/{job.number}_{n}")[0][0] for n in range(3)]
    assert weights[0] == undisturbed[0][0]
    assert weights[0] != weights[1] != weights[2] != weights[0]
    assert len(undisturbed[0][3][0]) == EPOCHS * BATCHES


def test_a_signal_by_hand(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["by_hand"]
    lab.held(job)
    lab.cluster.call("scancel", "--signal=USR1", str(job.number))
    lab.completed(job, 1)
    assert "is requeued: the time limit is near" in job.log()
    assert results(job.folder) == undisturbed


def test_the_time_limit(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["limit"]
    until(lambda: "is requeued: the time limit is near" in job.log(), 240, job.log)
    # on a slow machine the signal may come before training begins, and again in every life
    (lab.folder / "limit.0").touch()
    lab.cluster.call("scontrol", "update", f"JobId={job.number}", "TimeLimit=30")
    lab.completed(job)
    assert "stopped by SIGUSR2" in job.log()
    assert results(job.folder) == undisturbed


def test_a_cancelled_job_stays_away_until_it_is_called(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["cancelled"]
    lab.held(job)
    lab.cluster.call("scancel", str(job.number))
    told = lab.cluster.wait(job.number, "CANCELLED")
    until(lambda: "is not requeued: SLURM has the job as C" in job.log(), 20, job.log)
    again = lab.submit("again", "experiment_id=cancelled")
    lab.completed(again, 0)
    assert results(again.folder) == undisturbed
    assert "resuming from" in again.log()
    assert (told["Restarts"], lab.cluster.job(job.number)["JobState"]) == ("0", "CANCELLED")


def test_put_back_by_an_administrator(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["put_back"]
    lab.held(job)
    lab.cluster.call("scontrol", "requeue", str(job.number))
    lab.completed(job, 1)
    assert results(job.folder) == undisturbed


@pytest.mark.parametrize(("name", "node"), [("grace", "n3"), ("curt", "n4")])
def test_pre_empted(name: str, node: str, lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet[name]
    lab.held(job)
    lab.cluster.preempt(node)
    lab.completed(job, 1)
    assert "stopped by SIGTERM" in job.log()
    assert ("is requeued: it is being pre-empted" in job.log()) == (name == "grace")  # else SLURM did it itself
    assert results(job.folder) == undisturbed


def test_a_node_is_lost(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["lost"]
    lab.held(job)
    lab.cluster.call("scontrol", "update", "nodename=n5", "state=down", "reason=test")
    until(lambda: not lab.cluster.steps(job.number), 60)  # or the node would be drained for two lives of one job
    lab.cluster.bring_back("n5")
    lab.completed(job)  # after one restart, or two where the node came back too early
    assert results(job.folder) == undisturbed


def test_pre_empted_in_awkward_moments(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    """In a validation that must be left, in the middle of writing a checkpoint, and between two windows."""
    jobs = [fleet[name] for name in ("validation", "write", "window")]
    for job in jobs:
        lab.held(job)
    lab.cluster.preempt("n8")
    for job in jobs:
        lab.completed(job, 1)
    lab.completed(fleet["windows"], 0)
    assert results(jobs[0].folder) == results(jobs[1].folder) == undisturbed
    assert results(jobs[2].folder, windows=2) == results(fleet["windows"].folder, windows=2)
    assert "window_0 is done" in jobs[2].log()
    assert not list(jobs[1].folder.rglob("*.tmp"))


def test_two_nodes(lab: Lab, fleet: Fleet) -> None:
    job = fleet["two_nodes"]
    lab.held(job, ranks=2)
    lab.cluster.call("scancel", "--signal=USR1", str(job.number))
    lab.completed(job, 1)
    lab.completed(fleet["two_undisturbed"], 0)
    assert results(job.folder, ranks=2) == results(fleet["two_undisturbed"].folder, ranks=2)
