"""Starting composed configurations by the launcher they name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.build import build
from conf.compose import Composed
from conf.keys.verbs import groups_used
from contracts.errors import ConfigError
from launchers.job import Job


def launch(jobs: Sequence[Composed], program: Path) -> int:
    """Starts jobs by the launcher that all of them name.

    Returns:
        The launcher's exit code.

    Raises:
        ConfigError: the jobs name different launchers.
    """
    node = jobs[0].config.launcher
    if any(job.config.launcher != node for job in jobs):
        raise ConfigError("launcher differs from job to job", "Give launcher the same value in all jobs.")
    return int(build(node, "launcher").launch([described(job, program) for job in jobs]))


def described(composed: Composed, program: Path) -> Job:
    """A configuration as a job for a launcher."""
    words = tuple(word for word in composed.overrides if not _of_launcher(word))
    trainer = composed.config.trainer
    return Job(
        words,
        program,
        _count(trainer.get("devices")),
        _count(trainer.get("num_nodes")) or 1,
        "trainer" in groups_used(composed.config.task),
    )


def _of_launcher(word: str) -> bool:
    return word.lstrip("+~").partition("=")[0].partition(".")[0] == "launcher"


def _count(value: Any) -> int | None:
    if isinstance(value, list):
        return len(value)
    return int(value) if str(value).isdigit() else None
