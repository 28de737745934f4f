"""All jobs of the tests, side by side, and what is done to them."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from cluster import PATIENCE, until
from lab import (
    PREPARE,
    STUDY,
    WINDOWS,
    Job,
    Lab,
)


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
            self.seen[f"behind_{job.name}"] = self.lab.cluster.requeued_again(number)
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
        until(lambda: "is not requeued: its state in SLURM is C" in job.log(), PATIENCE, job.log)

    def _put_back(self, job: Job) -> None:
        self.lab.held(job)
        self.lab.cluster.call("scontrol", "requeue", str(job.number))
        self.lab.completed(job, 1)

    def _taken(self, job: Job, node: str, along: Sequence[str] = ()) -> None:
        jobs = [job, *(self.jobs[name] for name in along)]
        for each in jobs:
            self.lab.held(each)
        if along:
            self.seen[f"behind_{job.name}"] = self.lab.cluster.requeued_again(self.jobs["window_tables"].number)
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


def on(nodes: str) -> str:
    return f"launcher.options={{nodelist: '{nodes}'}}"


TWO = (on("n6,n7"), "trainer.num_nodes=2", "trainer.devices=1", "trainer.strategy=ddp")
