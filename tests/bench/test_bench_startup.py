"""Start-up rows: ratios to the import of torch, and a command line that ends after its first training step."""

import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from bench.parts.first_step import MODULE, LeaveAfterStep
from bench.parts.timing import Timing
from bench.startup import TARGETS, rows

STEP = """
import sys
from bench.parts.first_step import LeaveAfterStep
sys.meta_path.insert(0, LeaveAfterStep())
assert "torch" not in sys.modules
import torch
weight = torch.nn.Parameter(torch.ones(1))
optimiser = torch.optim.SGD([weight], 0.1)
print("before", flush=True)
optimiser.step()
print("after", flush=True)
"""


def test_rows_are_ratios_of_the_best_repetitions():
    timings = {"torch": Timing([3.0], [2.0, 4.0])} | {way: Timing([7.0], [9.0, 1.0]) for way in TARGETS}
    found = {row.way: row for row in rows(timings)}
    assert {way: row.target for way, row in found.items()} == TARGETS
    assert {row.ours for row in found.values()} == {0.5}
    assert found["--help"].met is False
    assert found["task=review of a dump"].met is True
    assert found["--help"].note == "CPU seconds 1.00, importing torch 2.00; wall 7.00 s"


@pytest.mark.parametrize("name", ["torch", "torch.optim", "json"])
def test_other_modules_are_left_to_python(name):
    assert LeaveAfterStep().find_spec(name) is None


def test_the_spec_is_torchs_own(monkeypatch):
    finder = LeaveAfterStep()
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    spec = finder.find_spec(MODULE)
    assert isinstance(spec, ModuleSpec)
    assert spec.name == MODULE
    assert finder not in sys.meta_path


def test_the_first_step_ends_the_process():
    done = subprocess.run([sys.executable, "-c", STEP], capture_output=True, text=True, check=True)
    assert done.stdout == "before\n"
