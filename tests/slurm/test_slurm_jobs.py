"""On a real cluster: whatever ends a job, nothing is lost, and SLURM calls things by their name."""

import io
import json
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import drawn
import h5py
import numpy as np
import optuna
import pytest
import torch
import yaml
from cluster import PATIENCE, Cluster, until
from drawn_ai_genbench import miniature

import lightning_main
from benchmarks.ai_genbench.generators import load_generators

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

PROGRAM = Path(__file__).with_name("program.py")
HOUSE = Path(__file__).parents[2]
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
            patch.setenv("PYTHONPATH", str(HOUSE))
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


@pytest.fixture(scope="module")
def lab(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    drawn.hdf5(folder / "drawn.h5", {"train": 4 * BATCHES + 2, "valid": 12})
    (folder / "broken.h5").write_text("no HDF5")
    (folder / "search.yaml").write_text(yaml.safe_dump(SEARCH))
    miniature(folder / "mini", train=4, validation=2, size=32, names=GENERATORS)
    return Lab(cluster, folder)


class Fleet:
    """All jobs side by side, each where what is done to it touches no other, and what is done to them meanwhile."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.jobs: dict[str, Job] = {}
        self.seen: dict[str, dict[str, str]] = {}
        self.deeds: dict[str, Future[None]] = {}
        self.pool = ThreadPoolExecutor(16)
        submit, held = self._submit, {"HOLD": "step"}
        submit("limit", self._out_of_time, on("n2"), "launcher.minutes=1", "launcher.signal_s=20", **held)
        # these two are started as users' jobs are
        submit("by_hand", self._told, on("n2"), forked=False, **held)
        submit("two_nodes", partial(self._told, ranks=2), *TWO, forked=False, **held)
        submit("cancelled", self._cancelled, on("n2"), "experiment_id=cancelled", **held)
        submit("array", None, "seed=100,1,2", on("n1"), many=True)
        submit("validation", None, on("n8"), "callbacks.preemption.grace=0", HOLD="validation")
        submit("write", None, on("n8"), HOLD="write")
        windows = submit("window", None, on("n8"), *WINDOWS, HOLD="window")
        submit("window_tables", None, on("n1"), *to_test(windows))
        self._begin("window", partial(self._taken, node="n8", along=("validation", "write")))
        untouched = submit("windows", None, on("n1"), *WINDOWS, "experiment_id=windows")
        submit("windows_tables", None, on("n1"), *to_test(untouched))
        submit("put_back", self._put_back, on("n2"), **held)
        submit("grace", partial(self._taken, node="n3"), on("n3"), "launcher.partition=low", **held)
        submit("curt", partial(self._taken, node="n4"), on("n4"), "launcher.partition=curt", **held)
        submit("lost", self._lost, on("n5"), **held)
        submit("chain", self._told, "seed=100,1", on("n6"), "launcher.chain=true", many=True, **held)
        broken = submit("broken", None, on("n1"), "datamodule.path=broken.h5")
        submit("behind_broken", None, on("n1"), f"launcher.after=[{broken.number}]")
        submit("two_undisturbed", None, *TWO)
        submit("shards", None, on("n1"), *PREPARE, "experiment_id=prepared", "prepare.shard=range(0,3)", many=True)
        submit("sweep", None, on("n1"), "task=sweep", "sweep.file=search.yaml", STUDY, "seed=1,2", many=True)

    def _submit(self, name: str, deed: Callable[[Job], None] | None, *words: str, **given: Any) -> Job:
        """A job, and what is done to it from now on."""
        self.jobs[name] = self.lab.submit(name, *words, **given)
        if deed is not None:
            self._begin(name, deed)
        return self.jobs[name]

    def _begin(self, name: str, deed: Callable[[Job], None]) -> None:
        self.deeds[name] = self.pool.submit(deed, self.jobs[name])

    def __getitem__(self, name: str) -> Job:
        """A job, once what is done to it has been done, and it has ended."""
        if name in self.deeds:
            self.deeds[name].result()
        return self.jobs[name]

    def _told(self, job: Job, ranks: int = 1) -> None:
        self.lab.held(job, ranks)
        for number in job.numbers()[1:]:
            self.seen[f"behind_{job.name}"] = self.lab.cluster.asked_anew(number)
        self.lab.cluster.call("scancel", "--signal=USR1", str(job.number))
        self.lab.completed(job, 1)

    def _out_of_time(self, job: Job) -> None:
        until(lambda: "is requeued: the time limit is near" in job.log(), PATIENCE, job.log)
        # on a slow machine the signal may come before training begins, and again in every life
        (self.lab.folder / "limit.0").touch()
        self.lab.cluster.attempt("scontrol", "update", f"JobId={job.number}", "TimeLimit=30")  # if it has not ended
        self.lab.completed(job)

    def _cancelled(self, job: Job) -> None:
        self.lab.held(job)
        self.lab.cluster.call("scancel", str(job.number))
        self.lab.cluster.wait(job.number, "CANCELLED")
        until(lambda: "is not requeued: SLURM has the job as C" in job.log(), PATIENCE, job.log)

    def _put_back(self, job: Job) -> None:
        self.lab.held(job)
        self.lab.cluster.call("scontrol", "requeue", str(job.number))
        self.lab.completed(job, 1)

    def _taken(self, job: Job, node: str, along: Sequence[str] = ()) -> None:
        jobs = [job, *(self.jobs[name] for name in along)]
        for each in jobs:
            self.lab.held(each)
        if along:
            self.seen[f"behind_{job.name}"] = self.lab.cluster.asked_anew(self.jobs["window_tables"].number)
        self.lab.cluster.preempt(node)
        for each in jobs:
            self.lab.completed(each, 1)

    def _lost(self, job: Job) -> None:
        self.lab.held(job)
        self.lab.cluster.call("scontrol", "update", "nodename=n5", "state=down", "reason=test")
        # or it would be drained for two lives of one job
        until(lambda: not self.lab.cluster.steps(job.number), PATIENCE)
        self.lab.cluster.bring_back("n5")
        self.lab.completed(job)  # after one restart, or two where the node came back too early


def to_test(windows: Job) -> tuple[str, ...]:
    """The words that test an experiment once it is trained."""
    return (*WINDOWS, "task=test", f"experiment_id={windows.folder.name}", f"launcher.after=[{windows.number}]")


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


def test_a_signal_by_hand(fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["by_hand"]
    assert "is requeued: the time limit is near" in job.log()
    assert results(job.folder) == undisturbed


def test_the_time_limit(fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["limit"]
    assert "stopped by SIGUSR2" in job.log()
    assert results(job.folder) == undisturbed


def test_a_cancelled_job_stays_away_until_it_is_called(lab: Lab, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet["cancelled"]
    again = lab.submit("again", "experiment_id=cancelled")
    lab.completed(again, 0)
    assert results(again.folder) == undisturbed
    assert "resuming from" in again.log()
    told = lab.cluster.asked_anew(job.number)
    assert (told["Restarts"], told["JobState"]) == ("0", "CANCELLED")


def test_put_back_by_an_administrator(fleet: Fleet, undisturbed: list[Any]) -> None:
    assert results(fleet["put_back"].folder) == undisturbed


@pytest.mark.parametrize("name", ["grace", "curt"])
def test_pre_empted(name: str, fleet: Fleet, undisturbed: list[Any]) -> None:
    job = fleet[name]
    assert "stopped by SIGTERM" in job.log()
    assert ("is requeued: it is being pre-empted" in job.log()) == (name == "grace")  # else SLURM did it itself
    assert results(job.folder) == undisturbed


def test_a_node_is_lost(fleet: Fleet, undisturbed: list[Any]) -> None:
    assert results(fleet["lost"].folder) == undisturbed


def test_pre_empted_in_awkward_moments(fleet: Fleet, undisturbed: list[Any]) -> None:
    """In a validation that must be left, in the middle of writing a checkpoint."""
    assert fleet["window"]  # which is pre-empted by the same job
    validation, write = fleet["validation"], fleet["write"]
    assert results(validation.folder) == results(write.folder) == undisturbed
    assert not list(write.folder.rglob("*.tmp"))


def test_pre_empted_between_two_windows(lab: Lab, fleet: Fleet) -> None:
    """Of a miniature AI-GenBench, which is then tested by a job that waits for its good end."""
    job, untouched = fleet["window"], fleet["windows"]
    lab.completed(untouched, 0)
    assert results(job.folder, windows=2) == results(untouched.folder, windows=2)
    assert "window_0 is done" in job.log()
    assert (fleet.seen["behind_window"]["JobState"], fleet.seen["behind_window"]["Reason"]) == ("PENDING", "Dependency")
    for name in ("window_tables", "windows_tables"):
        lab.completed(fleet[name], 0)
    assert tables(job.folder) == tables(untouched.folder)


def tables(folder: Path) -> Any:
    """The benchmark's tables of an experiment."""
    found = json.loads((folder / "ai_genbench.json").read_text())[folder.name]
    assert len(found["stages"]) == len(GENERATORS)
    return found


def test_each_of_a_chain_waits_for_the_good_end_of_the_one_before(
    lab: Lab, fleet: Fleet, undisturbed: list[Any]
) -> None:
    job = fleet["chain"]
    first, second = job.numbers()
    assert f"waits:  for a good end of job {first}" in job.printed
    before = fleet.seen["behind_chain"]
    assert (before["JobState"], before["Reason"]) == ("PENDING", "Dependency")
    after = lab.cluster.wait(second, "COMPLETED|FAILED|CANCELLED")
    assert (after["JobState"], after["Restarts"]) == ("COMPLETED", "0")
    assert after["StartTime"] >= lab.cluster.asked_anew(first)["EndTime"]  # of the second life
    assert results(job.folder) == undisturbed
    array = lab.folder / f"experiments_data/{fleet['array'].number}_1"
    assert results(job.folder.with_name(str(second))) == results(array)


def test_what_waits_for_a_job_that_fails_is_cancelled(lab: Lab, fleet: Fleet) -> None:
    broken, behind = fleet["broken"], fleet["behind_broken"]
    assert lab.cluster.wait(broken.number, "FAILED|COMPLETED")["JobState"] == "FAILED"
    assert "broken.h5" in broken.log()
    told = lab.cluster.wait(behind.number, "CANCELLED|COMPLETED|FAILED")
    assert (told["JobState"], told["Reason"]) == ("CANCELLED", "DependencyNeverSatisfied")
    assert f"waits:  for a good end of job {broken.number}; SLURM cancels it if that fails" in behind.printed
    assert not behind.folder.exists()


def test_shards_of_an_array_are_put_together_once(lab: Lab, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    job = fleet["shards"]
    lab.array_completed(job, 3)
    folder = lab.folder / "experiments_data/prepared"
    assert not (folder / "data.h5.parts").exists()
    monkeypatch.chdir(lab.folder)
    assert lightning_main.main([*WORDS, *PREPARE, "prepare.shards=1", "prepare.out=whole.h5"]) == 0
    with h5py.File(folder / "data.h5") as united, h5py.File("whole.h5") as whole:
        for split in ("train", "valid"):
            assert np.array_equal(united[split]["image"][:], whole[split]["image"][:])
            assert united[split]["id"].asstr()[:].tolist() == whole[split]["id"].asstr()[:].tolist()


def test_two_jobs_of_an_array_share_a_search(lab: Lab, fleet: Fleet) -> None:
    job = fleet["sweep"]
    lab.array_completed(job, 2)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{lab.folder}/search/study.db")
    trials = {trial.user_attrs["experiment"]: trial for trial in study.trials}
    assert {trial.state.name for trial in trials.values()} == {"COMPLETE"}
    assert {trial.user_attrs["worker"] for trial in trials.values()} <= {"1", "2"}
    assert sorted(trials) == ["search_000", "search_001"]
    for name, trial in trials.items():
        assert results(lab.folder / f"experiments_data/{name}", ordered=False)
        history = lab.folder / f"experiments_data/{name}/window_0/checkpoints/history.json"
        assert trial.value == min(epoch["val/loss"] for epoch in json.loads(history.read_text()))


def test_two_nodes(lab: Lab, fleet: Fleet) -> None:
    job = fleet["two_nodes"]
    lab.completed(fleet["two_undisturbed"], 0)
    assert results(job.folder, ranks=2) == results(fleet["two_undisturbed"].folder, ranks=2)
