"""Searches in W&B's format: those that come along, and those with mistakes."""

from pathlib import Path

import pytest
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from conf.compose import compose
from conf.sweeps import find_sweep, lint, read_sweep, sweep_files
from contracts.errors import ConfigError

GOOD = """
method: random
metric: {name: val/auroc, goal: maximize}
command: ["${env}", "${interpreter}", "${program}", datamodule=sample, "${args_no_hyphens}"]
parameters:
"""


@pytest.mark.parametrize("name", sweep_files())
def test_the_searches_that_come_along_have_no_mistake(name: str) -> None:
    assert [str(problem) for problem in lint(find_sweep(name))] == []


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("detector.exat: {values: [true]}", "'exact'"),
        ("sead: {values: [1, 2]}", "'seed'"),
        ("detector: {parameters: {exact: {value: true}}}", "nested"),
        ("trainer.gradient_clip_val: {values: [null, 1]}", "in quotes"),
        ("detector.exact: {values: ['False', 'True']}", "without quotes"),
        ("detector.optimizer.lr: {min: 1e-5, max: 1e-3}", "1.0e-5"),
        ("detector.optimizer.lr: {distribution: log_uniform_values, min: 0.0, max: 0.1}", "above zero"),
        ("detector.optimizer.lr: {distribution: normal, mu: 0, sigma: 1}", "neither values"),
        ("seed: {values: [[1, 2]]}", "not a single value"),
        ("trainer.devices: {values: [1, 'two']}", ""),
    ],
)
def test_mistakes_are_named(parameter: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(f"{GOOD}  {parameter}\n")
    found = "\n".join(str(problem) for problem in lint(file))
    assert said in found
    assert found or parameter.startswith("trainer.devices")  # a library's value, which its own constructor judges


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("method: random", "method: randon", "'random'"),
        ("val/auroc", "val_auroc", "'val/auroc'"),
        ("maximize", "max", "minimize"),
        ("${args_no_hyphens}", "${args}", "--key=value"),
        ("datamodule=sample", "-m", "Leave it out"),
        ("method: random", "method: grid", "continuous"),
    ],
)
def test_mistakes_of_the_frame_are_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "search.yaml"
    file.write_text(f"{GOOD}  detector.optimizer.lr: {{min: 0.1, max: 0.2}}\n".replace(old, new))
    with pytest.raises(ConfigError, match=None) as told:
        read_sweep(file)
    assert said in str(told.value)


def test_wandb_builds_the_words_we_build() -> None:
    """W&B's own argument builder and ours agree, and what they build composes."""
    sweep = read_sweep(find_sweep("aiornot_augmented"))
    for number in range(4):
        values = {parameter.key: parameter.sample(number) for parameter in sweep.parameters}
        theirs = create_sweep_command_args({"args": {key: {"value": value} for key, value in values.items()}})
        ours = sweep.command(values)[len(sweep.words) :]
        assert theirs["args_no_hyphens"] == ours
        resolved = compose([*sweep.words, *theirs["args_no_hyphens"]]).resolved
        assert resolved["trainer"]["gradient_clip_val"] == (None, 0.5, 2, 5)[number]
        assert resolved["detector"]["augment"]["use_crop"] is (False, True)[number % 2]


def test_a_name_that_is_none_suggests_its_neighbours() -> None:
    with pytest.raises(ConfigError, match="aiornot_bayes"):
        find_sweep("aiornot_baies")
