"""Every YAML file in conf/ composes and passes the check; new files are found by listing the folder."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from conf.check import check
from conf.cli.groups import CONF, group_names, group_options
from conf.compose import Composed, compose
from conf.sources import leaves

OPTIONS = [(group, option) for group in group_names() if group != "local" for option in group_options(group)]
EXPERIMENTS = group_options("experiment")


def composed_here(path: Path, *words: str) -> Composed:
    """Composes without this machine's own settings; what wants a path gets one that exists."""
    given = ["task=doctor", *(["local=null"] if group_options("local") else []), *words]
    wanting = [key for key, value in leaves(compose(given).resolved) if value == "???"]
    return compose([*given, *(f"{key}={path}" for key in wanting)])


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_a_file_composes_and_passes_the_check(group: str, option: str, tmp_path: Path) -> None:
    composed = composed_here(tmp_path, f"{group}={option}")
    assert [str(problem) for problem in check(composed, thorough=True)] == []


def test_the_folder_has_no_other_files() -> None:
    known = {CONF / group / f"{option}.yaml" for group, option in OPTIONS}
    # searches are in W&B's own format; tests/conf/test_sweeps.py composes them
    allowed = (
        known | {CONF / "config.yaml"} | set((CONF / "local").glob("*.yaml")) | set((CONF / "sweep").glob("*.yaml"))
    )
    assert set(CONF.rglob("*.yaml")) == allowed
    assert not list(CONF.rglob("*.yml"))


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda file: file.relative_to(CONF).as_posix())
def test_a_file_is_short_and_holds_no_absolute_path(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert len(lines) <= 40
    if file.parent.name != "local":
        assert not [line for line in lines if ": /" in line or ": ~" in line]


def test_the_local_example_works_where_it_is_copied(folder: Path) -> None:
    (folder / "local/default.yaml").write_text((CONF / "local/default.example.yaml").read_text())
    composed = compose(["datamodule.path=${local.aiornot}"], folder)
    example = OmegaConf.load(CONF / "local/default.example.yaml")
    assert composed.config.datamodule["path"] == example.local.aiornot
    assert composed.config.trainer["precision"] == example.trainer.precision
