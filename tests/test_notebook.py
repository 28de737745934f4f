"""The notebook of the documentation: its cells run, and its stored outputs are theirs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from notebook import executed
from test_jobs import short

from pixelproof import commands

FILE = Path(__file__).parents[1] / "docs" / "first_steps.ipynb"
LARGEST = 60_000
"""Bytes of the file."""


def kinds(notebook: dict[str, Any]) -> list[list[tuple[str, list[str]]]]:
    """Type and formats of every output of every cell."""
    return [
        [(output["output_type"], sorted(output.get("data", {}))) for output in cell.get("outputs", [])]
        for cell in notebook["cells"]
    ]


def test_the_cells_run_and_give_outputs_like_those_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, stored = commands.run, json.loads(FILE.read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "run", lambda words: run(short(list(words))))
    done = executed(stored)
    assert kinds(done) == kinds(stored)
    scores = next("".join(cell["outputs"][0]["data"]["text/plain"]) for cell in done["cells"] if "nowhere" in str(cell))
    assert "cannot be read: No such file or directory" in scores
    assert (tmp_path / "experiments_data/first/window_0/review/index.html").is_file()


def test_the_file_is_small_and_its_cells_were_run_in_order() -> None:
    code = [cell for cell in json.loads(FILE.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert FILE.stat().st_size < LARGEST


def test_outputs_are_those_of_jupyter() -> None:
    cells: Sequence[str] = ("x = 2\nprint(x)", "x + 1", "for _ in range(2):\n    print('\\x1b[1ma\\rb')")
    made = [{"cell_type": "code", "source": [cell], "outputs": []} for cell in cells]
    done = executed({"cells": [*made, {"cell_type": "markdown", "source": []}]})["cells"]
    assert [cell.get("execution_count") for cell in done] == [1, 2, 3, None]
    texts = [output.get("text") or output["data"]["text/plain"] for cell in done[:3] for output in cell["outputs"]]
    assert texts == [["2\n"], ["3"], ["b\n", "b\n"]]
