"""``task=convert``: convert AI-GenBench's own YAML files to a recipe."""

from pathlib import Path
from typing import Any

import yaml

from benchmarks.ai_genbench.foreign_config import converted
from benchmarks.ai_genbench.foreign_merge import read_arguments
from contracts.errors import ConfigError
from tasks.experiment.run import Run

PARTS = ("datamodule: ai_genbench", "benchmark: ai_genbench", "detector: classifier")


def convert(run: Run) -> None:
    """Converts AI-GenBench's pipeline, model and local YAML files, given in this order, to one recipe.

    Raises:
        ConfigError: no files are given, the output exists, or a setting has no equivalent.
        DataError: a file is not YAML.
    """
    inputs = list(run.config.convert.inputs)
    if not inputs:
        raise ConfigError("convert.inputs is empty", "Give convert.inputs=[pipeline.yaml,model.yaml,local.yaml].")
    files = [word for word in inputs if not word.lstrip().startswith("-") and " --" not in word]
    name = f"{Path(files[-1]).stem}_converted.yaml" if files else "converted.yaml"
    out = Path(run.config.convert.out).expanduser() if run.config.convert.out else Path(name)
    if out.exists():
        raise ConfigError(f"convert.out={out} exists already", "Name another file.")
    values = converted(read_arguments(inputs))
    text = experiment(values, [Path(word).name if word in files else word for word in inputs])
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text)
    print(f"{out}\nMove it to conf/experiment/ and run it with experiment={out.stem}")
    if values["benchmark"]["eval_cropping"] == values["benchmark"]["train_cropping"] == "resize":
        print("All images are resized, without a cropping strategy; docs/ai_genbench.md describes the paper's crops.")


def experiment(values: dict[str, Any], sources: list[str]) -> str:
    """The text of the recipe."""
    loggers = values.get("logger", {})
    parts = [*PARTS, *([f"logger: [{', '.join(loggers)}]"] if loggers else [])]
    head = [
        "# @package _global_",
        f"# Converted from AI-GenBench's {', '.join(sources)}".replace("\n", " "),
        "defaults:",
    ]
    head += [f"  - override /{part}" for part in parts]
    given = {name: settings for name, settings in loggers.items() if settings}
    body = {key: value for key, value in values.items() if key != "logger"} | ({"logger": given} if given else {})
    return "\n".join(head) + "\n" + yaml.safe_dump(body, sort_keys=False, width=120)
