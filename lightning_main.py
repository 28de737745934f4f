"""One command: compose the configuration, check it, run the task."""

import importlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from conf.check import check
from conf.compose import CONF, compose, expand
from conf.help import help_text
from conf.problems import refuse
from contracts.errors import ConfigError, PixelProofError
from tasks.run import Run

FLAGS = {"-h": "help", "--help": "help", "-m": "many", "--multirun": "many"}


def main(argv: Sequence[str] | None = None, conf: Path = CONF) -> int:
    """Runs the command line.

    Args:
        argv: the words behind the program's name; those of this process by default.
        conf: folder of YAML groups.

    Returns:
        The exit code: 0, or 2 for a configuration that cannot work, or 1 for whatever else went wrong.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    flags = {FLAGS[word] for word in given if word in FLAGS}
    words = [word for word in given if word not in FLAGS]
    try:
        if "help" in flags:
            print(help_text(conf))
            return 0
        if "many" in flags:
            return run_many(words, conf)
        return run_one(words, conf)
    except PixelProofError as error:
        print(f"pixelproof: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1


def run_one(words: Sequence[str], conf: Path) -> int:
    """Composes, checks, runs; only the chosen task's module is imported."""
    composed = compose(words, conf)
    if composed.config.task != "doctor":  # which shows what is wrong instead
        refuse(check(composed))
    verb = getattr(importlib.import_module(f"tasks.{composed.config.task}"), composed.config.task)
    return int(verb(Run(composed)) or 0)


def run_many(words: Sequence[str], conf: Path) -> int:
    """Checks every job of ``-m``, then runs one after another, each in a process of its own.

    Returns:
        0 if all went well, else the exit code of the first that did not; those behind it run all the same.
    """
    jobs = expand(words, conf)
    for job in jobs:
        refuse(check(compose(job, conf), many=True))
    codes = []
    for position, job in enumerate(jobs):
        print(f"[{position + 1}/{len(jobs)}] {' '.join(job)}", flush=True)
        program = [sys.executable, str(Path(__file__).resolve()), *job]
        codes.append(subprocess.run(program, check=False).returncode)  # noqa: S603 - our own program
    failed = [position + 1 for position, code in enumerate(codes) if code]
    if failed:
        print(f"pixelproof: job(s) {failed} of {len(jobs)} failed", file=sys.stderr)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
