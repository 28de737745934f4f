"""``task=convert``: AI-GenBench's own YAML files → an experiment of ours."""

from pathlib import Path
from typing import Any

import yaml

from benchmarks.ai_genbench.foreign_config import converted
from contracts.errors import ConfigError, DataError
from tasks.run import Run

PARTS = ("datamodule: ai_genbench", "benchmark: ai_genbench", "detector: classifier")


def convert(run: Run) -> None:
    """Turns AI-GenBench's pipeline, model and local YAML files, in this order, into one experiment.

    Raises:
        ConfigError: no files are named, the output exists, or a setting has no counterpart.
        DataError: a file is no YAML.
    """
    inputs = [Path(name).expanduser() for name in run.convert.inputs]
    if not inputs:
        raise ConfigError("convert.inputs is empty", "Give convert.inputs=[pipeline.yaml,model.yaml,local.yaml].")
    out = Path(run.convert.out).expanduser() if run.convert.out else Path(f"{inputs[-1].stem}_converted.yaml")
    if out.exists():
        raise ConfigError(f"convert.out={out} exists", "Name another file.")
    text = experiment(converted([_read(file) for file in inputs]), [file.name for file in inputs])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    print(f"{out}\nLay it into conf/experiment/ and run it with experiment={out.stem}")


def experiment(values: dict[str, Any], sources: list[str]) -> str:
    """The text of an experiment's file."""
    loggers = values.pop("logger", [])
    parts = [*PARTS, *([f"logger: [{', '.join(loggers)}]"] if loggers else [])]
    head = ["# @package _global_", f"# Converted from AI-GenBench's {', '.join(sources)}", "defaults:"]
    head += [f"  - override /{part}" for part in parts]
    return "\n".join(head) + "\n" + yaml.safe_dump(values, sort_keys=False, width=120)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror or error}", "Check the path.") from error
    except yaml.YAMLError as error:
        raise DataError(f"{file} is no YAML: {error}", "Mend the line named here.") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no settings", "Give the files that --config names.")
    return content
