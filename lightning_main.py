"""One command: compose the configuration, check it, run the task."""

import importlib
import io
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from conf.check import check
from conf.cli.problems import refuse
from conf.cli.words import CONF
from conf.compose import compose
from conf.help import help_for
from contracts.errors import ConfigError, PixelProofError
from contracts.names import typed
from contracts.stop import STOP, Stopped, one_of_several
from tasks.checking.trial import refuse_trainer
from tasks.experiment.launch import launch
from tasks.experiment.lock import refuse_changed
from tasks.experiment.recall import recalled
from tasks.experiment.requeue import ended
from tasks.experiment.run import DATA, Run
from tasks.multirun.many import run_many

FLAGS = {"-h": "help", "--help": "help", "-m": "many", "--multirun": "many"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: the words behind the program's name; those of this process by default.

    Returns:
        The exit code: 0, or 2 for a configuration that cannot work, 128 + its number after a signal, or 1 for whatever
        else went wrong.
    """
    given = [typed(word) for word in (sys.argv[1:] if argv is None else argv)]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no name and no arrow ends a command in any locale
    flags = {FLAGS[word] for word in given if word in FLAGS}
    words = [word for word in given if word not in FLAGS]
    with STOP.handled(deferred=one_of_several(os.environ)):
        try:
            STOP.release()
            if "help" in flags:
                print(help_for(words, CONF))
            elif "many" in flags:
                return run_many(words, CONF, Path(__file__).resolve())
            else:
                return run_one(words)
            sys.stdout.flush()
            return 0
        except BrokenPipeError:
            if not _reader_is_gone():
                raise
            return 128 + signal.SIGPIPE
        except PixelProofError as error:
            print(f"pixelproof: {error}", file=sys.stderr)
            return 2 if isinstance(error, ConfigError) else 1
        except Stopped as stopped:
            STOP.deferred = True  # a second signal does not disturb the end
            return ended(stopped, words=words)
        except KeyboardInterrupt:
            print("\npixelproof: interrupted", file=sys.stderr)
            return 130


def _reader_is_gone() -> bool:
    """Whether nobody reads the standard output any more, as in ``pixelproof --help | head``."""
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in watch.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left to be flushed at the exit
    return True


def run_one(words: Sequence[str]) -> int:
    """Composes, checks, runs; only the chosen task's module is imported."""
    composed = compose(recalled(words), CONF)
    if composed.config.task != "doctor":  # which shows what is wrong instead
        refuse(check(composed))
        if composed.config.launcher:
            return launch([composed], Path(__file__).resolve())
        if composed.config.task == "fit" and composed.config.experiment_id:
            refuse_changed(DATA / composed.config.experiment_id, composed.resolved)
        refuse_trainer(composed)
    verb = getattr(importlib.import_module(f"tasks.{composed.config.task}"), composed.config.task)
    return int(verb(Run(composed)) or 0)


if __name__ == "__main__":
    sys.exit(main())
