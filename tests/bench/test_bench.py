"""The bench times ways in turn, judges targets, and keeps what other subjects measured."""

import time

import pytest

from bench.__main__ import main
from bench.parts import timing
from bench.parts.table import Row, Section, load, rate, record
from bench.parts.timing import EFFORT, Timing, interleaved
from bench.subjects import subjects

MACHINE = {"date": "2026-01-01", "cpu": "2 cores of X", "torch": "2.10.0"}


def section(**changes):
    row = {
        "subject": "s",
        "way": "a|b",
        "baseline": 10.0,
        "ours": 45.0,
        "unit": "images/s",
        "ratio": 4.5,
        "target": 4.0,
    }
    return Section("A title", MACHINE, [Row(**row | changes)])


def test_subjects_are_found_without_a_list():
    assert {"prepare", "loader", "npr"} <= set(subjects())
    assert not {"table", "timing", "machine", "subjects"} & set(subjects())
    assert not any(name.startswith("_") for name in subjects())


def test_an_unknown_subject_is_refused_with_the_nearest(capsys):
    with pytest.raises(SystemExit) as error:
        main(["prepair"])
    assert error.value.code == 2
    assert "did you mean 'prepare'" in capsys.readouterr().err


def test_ways_take_turns_and_are_cleaned_up_after():
    calls = []
    ways = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    timings = interleaved(ways, 2, after=lambda: calls.append("-"))
    assert "".join(calls) == "a-b-" * 3  # the first round is not measured
    assert [len(timings[name].seconds) for name in ways] == [2, 2]


def test_best_and_cpu_seconds_are_what_they_say():
    def spin():
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass

    timings = interleaved({"spin": spin, "sleep": lambda: time.sleep(0.05)}, 1)
    assert timings["spin"].best_cpu > 0.049  # by two clocks
    assert timings["sleep"].best_cpu < 0.04
    assert timings["sleep"].best >= 0.05


def test_rates_and_ratios():
    row = rate("s", "w", Timing([2.0, 4.0], [2.0, 2.0]), Timing([0.5, 2.0], [1.0, 1.0]), 10, 4.0, "note")
    assert (row.baseline, row.ours, row.ratio) == (5.0, 20.0, 4.0)
    assert row.met
    assert row.note == "note; medians 2.40×, CPU seconds 2.00×"


def test_targets_are_floors_of_ratios_and_ceilings_of_figures():
    assert section(ratio=3.9).rows[0].met is False
    assert section(target=None).rows[0].met is None
    assert section(ratio=None, baseline=None, ours=1.4, target=1.5).rows[0].met
    assert section(ratio=None, baseline=None, ours=1.6, target=1.5).rows[0].met is False


def test_the_page_keeps_other_subjects(tmp_path):
    record(tmp_path, "one", section())
    record(tmp_path, "two", section(ratio=1.0))
    record(tmp_path, "one", section(ours=50.0, ratio=5.0))
    assert load(tmp_path / "speed.json") == {"one": section(ours=50.0, ratio=5.0), "two": section(ratio=1.0)}
    text = (tmp_path / "speed.md").read_text()
    assert text.index("## one: A title") < text.index("## two: A title")
    assert "| s: a\\|b | 10 | 50 | images/s | 5.00× | ≥ 4 |" in text
    assert "| 1.00× | ≥ 4 (missed) |" in text
    assert "2026-01-01, 2 cores of X, torch 2.10.0." in text


def test_effort_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv(EFFORT, "quick")
    assert timing.pick(1, 2, 3) == 1
    monkeypatch.setenv(EFFORT, "full")
    assert timing.pick(1, 2) == 2
    assert timing.pick(1, 2, 3) == 3
    monkeypatch.setenv(EFFORT, "fast")
    with pytest.raises(ValueError, match="fast"):
        timing.pick(1, 2)
