"""Search by W&B's server: creates or joins a sweep and starts its agents."""

import subprocess
import sys
from typing import Any

from callbacks.reporting.wandb_logger import has_key
from conf.keys.options import SweepOptions
from conf.keys.syntax import ROOT
from conf.sweeps import Sweep
from contracts.errors import ConfigError


def run_agents(sweep: Sweep, options: SweepOptions) -> int:
    """Starts ``sweep.workers`` agents, each of which exits after its share of the runs.

    Returns:
        0 if all agents succeeded, else 1.

    Raises:
        ConfigError: there is no key for the server.
    """
    if not has_key():
        raise ConfigError(
            "sweep.backend=wandb needs W&B's server, and no key is set",
            "Set WANDB_API_KEY, or use sweep.backend=local.",
        )
    import wandb

    identity = options.id or wandb.sweep(described(sweep, options), project=options.project)
    print(f"sweep {identity}; join it elsewhere: task=sweep sweep.backend=wandb sweep.id={identity}", flush=True)
    command = agent_command(sweep, options, str(identity))
    agents = [subprocess.Popen(command) for _ in range(options.workers)]  # noqa: S603 - W&B's own program
    codes = [agent.wait() for agent in agents]
    return int(any(codes))


def described(sweep: Sweep, options: SweepOptions) -> dict[str, Any]:
    """The file's content for the server: with the absolute program path, and extra arguments before searched ones."""
    command = list(sweep.raw["command"])
    place = command.index("${args_no_hyphens}")
    return {
        **sweep.raw,
        "program": str(ROOT / "lightning_main.py"),
        "command": [*command[:place], *options.words, *command[place:]],
    }


def agent_command(sweep: Sweep, options: SweepOptions, identity: str) -> list[str]:
    """Command of an agent that forwards signals, so that a run saves and is marked as pre-empted before it exits."""
    runs = options.runs or sweep.cap
    count = ["--count", str(-(-runs // options.workers))] if runs else []
    words = ["--project", options.project, "--forward-signals", "--term-timeout", "60", *count, identity]
    return [sys.executable, "-m", "wandb", "agent", *words]
