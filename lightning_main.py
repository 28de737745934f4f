"""One command: compose the configuration, check it, run the task."""

import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from conf.cli.completion import complete
from conf.cli.flags import Given, read_flags
from conf.cli.groups import CONF
from conf.cli.shells import SCRIPTS
from contracts.errors import ConfigError, PixelProofError
from contracts.names import typed
from contracts.process.collection import uncollected
from contracts.process.stop import STOP, Stopped, one_of_several
from contracts.words import printable


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        argv: the words after the program's name; those of this process by default.

    Returns:
        The exit code: 0, or 2 for a configuration that cannot work, 128 + its number after a signal, or 1 for any
        other error.
    """
    # before torch is imported: OpenMP's waiting threads would otherwise spin, which beside other programs costs three
    # times the CPU time and more, and alone gains nothing
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    words = [typed(word) for word in (sys.argv[1:] if argv is None else argv)]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no locale makes printing a name fail
    if words[:1] == ["--complete"]:  # called by the shell's completion function
        print("\n".join(complete(words[1:])))
        return 0
    with STOP.handled(deferred=one_of_several(os.environ)):
        try:
            STOP.release()
            if words[:1] in (["look"], ["models"]):
                return int(getattr(importlib.import_module("tasks.models.look"), words[0])(words[1:]))
            given = read_flags(words)
            code = answer(given) if given.flags else run_one(given.words)
            sys.stdout.flush()
            return code
        except BrokenPipeError:
            from contracts.screen import reader_is_gone

            if not reader_is_gone():
                raise
            return 128 + signal.SIGPIPE
        except PixelProofError as error:
            print("pixelproof:", printable(str(error), keep="\n"), file=sys.stderr)
            return 2 if isinstance(error, ConfigError) else 1
        except Stopped as stopped:
            from tasks.experiment.requeue import ended

            STOP.deferred = True  # a second signal must not interrupt the shutdown
            return ended(stopped, words=words)
        except KeyboardInterrupt:
            print("\npixelproof: interrupted", file=sys.stderr)
            return 130


def answer(given: Given) -> int:
    """Prints what the flags ask for, or runs several jobs; modules are imported as far as that needs them."""
    flags, words = given.flags, given.words
    if "--help" in flags:
        from conf.help.overview import help_for

        print(help_for(words, CONF))
    elif "--hydra-help" in flags or "--version" in flags:
        from conf.help.about import hydra_help, versions

        print(versions() if "--version" in flags else hydra_help())
    elif "--completion" in flags:
        print(SCRIPTS[flags["--completion"]])
    elif "--cfg" in flags or "--info" in flags:
        from conf.shown import shown_config, shown_info
        from tasks.experiment.recall import recalled

        words = recalled(words)
        if "--info" in flags:
            print(shown_info(words, flags["--info"]))
        else:
            print(shown_config(words, flags["--cfg"], flags.get("--package"), "--resolve" in flags))
    else:
        from conf.hydra_setup import only_allowed_targets
        from tasks.multirun.many import run_many

        with only_allowed_targets():
            return run_many(words, CONF, Path(__file__).resolve())
    return 0


def run_one(words: Sequence[str]) -> int:
    """Composes and checks the configuration and runs its task; only that task's module is imported."""
    with uncollected():
        from conf.hydra_setup import only_allowed_targets
        from tasks.checking.command import checked
        from tasks.experiment.launch import launch
        from tasks.experiment.run import Run

        composed = checked(words)
        task = composed.config.task
        launched = composed.config.launcher and task != "doctor"
        verb = None if launched else getattr(importlib.import_module(f"tasks.{task}"), task)
    if verb is None:
        return launch([composed], Path(__file__).resolve())
    with only_allowed_targets():
        return int(verb(Run(composed)) or 0)


if __name__ == "__main__":
    sys.exit(main())
