"""The table of published detectors: written between its marks, and every method's words compose."""

import shlex

import pytest
import yaml

from bench.zoo import DOCS, MARKS, written
from conf.compose import compose
from contracts.errors import DataError

METHODS = yaml.safe_load((DOCS / "zoo.yaml").read_text())


@pytest.mark.parametrize("name", METHODS)
def test_the_words_of_a_method_compose(name: str) -> None:
    words = ["datamodule=hdf5", "datamodule.path=data.h5", *shlex.split(METHODS[name]["words"])]
    assert compose(words).resolved["detector"]["_target_"].startswith("detectors.")
    assert METHODS[name]["training"]
    assert METHODS[name].get("toy", False) is ("toy.pth" in METHODS[name]["words"])


def test_the_table_lies_between_its_marks() -> None:
    area = {"value": 0.7, "low": 0.6, "high": 0.81}
    found = {"b": {"parameters": 1300, "trained": 12, "rate": 20.4, "pooled": area, "seen": area}}
    page = "\n".join(["before", MARKS[0], "old", MARKS[1], "after"])
    made = written(page, {"a": {"training": "none"}, "b": {"training": "short"}}, found)
    lines = made.splitlines()
    assert (lines[:2], lines[-2:]) == (["before", MARKS[0]], [MARKS[1], "after"])
    assert lines[4:-2] == ["| `b` | 1,300 (12) | 20 | 0.70 (0.60–0.81) | 0.70 (0.60–0.81) |  | short |"]
    assert written(made, {"b": {"training": "short"}}, found) == made
    with pytest.raises(DataError, match="lacks <!-- to here"):
        written(MARKS[0], {}, {})
