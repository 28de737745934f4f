"""Boards: detectors share one only if they were tested alike; figures are of common images."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_predictions import draw

from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.leaderboard.board import Board, Entry, boards
from benchmarks.leaderboard.page import render
from benchmarks.leaderboard.show import latex, markdown, sentences, table, tidy
from benchmarks.predictions import Predictions, from_crops, write_predictions

FEW = Bootstrap(resamples=20)
PLAIN = {"protocol": {"benchmark": "Plain", "data": "Set a", "align": None}}


def shifted(by: float, seed: int = 0, **about: Any) -> Predictions:
    """The same images with other scores: higher ``by`` for generated ones."""
    base = draw(seed, images=200)
    rng = np.random.default_rng(int(10 * by))
    logits = np.where(base.fused_labels == 1, by, 0) + rng.normal(0, 1, 200)
    return from_crops(
        logits, np.arange(200), base.fused_labels, base.fused_generator_ids, base.fused_ids, group=base.group,
        generator_id_to_name=base.generator_id_to_name, provenance=PLAIN | about,
    )  # fmt: skip


def one(*entries: Entry) -> Board:
    (board,) = boards(entries, FEW)
    return board


def test_the_best_is_first_with_the_figures_of_its_dump() -> None:
    weak, strong = shifted(0.5), shifted(2.0)
    board = one(Entry("weak", weak), Entry("strong", strong))
    assert [line.entry.name for line in board.lines] == ["strong", "weak"]
    pooled = {(r.metric, r.at): r.value for r in evaluate(strong) if r.kind == "pooled"}
    for result in board.lines[0].results:
        assert result.value == pooled[result.metric, result.at]
        assert result.low <= result.value <= result.high
    each = {r.generator: r.value for r in evaluate(weak) if r.kind == "generator" and r.metric == "auroc"}
    assert {name: r.value for name, r in board.lines[1].sets.items()} == each
    lowest = board.lines[1].lowest_set
    assert lowest is not None
    assert lowest.value == min(each.values())
    assert each[lowest.generator] == lowest.value


def test_protocols_are_never_mixed() -> None:
    other = {"protocol": {"benchmark": "Plain", "data": "Set a", "align": "jpeg"}}
    tables = {"protocol": {"benchmark": "Forensynths", "data": "Set a"}}
    other_images = replace(shifted(1.0), fused_ids=np.array([f"other {k}" for k in range(200)]))
    found = boards(
        [
            Entry("a", shifted(1.0)), Entry("b", shifted(1.2)), Entry("aligned", shifted(1.0, **other)),
            Entry("tables", shifted(1.0, **tables)), Entry("other images", other_images),
        ],
        FEW,
    )  # fmt: skip
    names = [{line.entry.name for line in board.lines} for board in found]
    assert names[0] == {"a", "b"}
    assert sorted(names[1:], key=str) == [{"aligned"}, {"other images"}, {"tables"}]
    robust = {"protocol": {"benchmark": "Robustness", "data": "Set a", "align": None}}
    assert len(one(Entry("a", shifted(1.0)), Entry("b", shifted(1.2, **robust))).lines) == 2


def test_a_few_failed_images_leave_common_ones_and_many_leave_the_board() -> None:
    whole, failed = shifted(1.0), shifted(2.0).select(np.arange(2, 200))
    board = one(Entry("whole", whole), Entry("failed", failed))
    assert board.images == 198
    assert "198 images that all detectors have scored" in sentences(board)[0]
    assert len(boards([Entry("whole", whole), Entry("failed", failed.select(np.arange(190)))], FEW)) == 2


def test_equal_detectors_are_tied_and_no_number_of_sets_separates_them() -> None:
    board = one(*(Entry(name, shifted(1.0)) for name in "abc"))
    assert board.ranking is not None
    assert board.ranking.p == 1
    assert any("which no number of sets would make significant" in text for text in sentences(board))


def test_the_worst_delivery_is_of_those_that_all_have(tmp_path: Path) -> None:
    def dumped(name: str, by: float) -> Path:
        write_predictions(tmp_path / f"{name}.npz", shifted(by))
        return tmp_path / f"{name}.npz"

    both = {"jpeg-50": dumped("a", 0.4), "noise-5": dumped("b", 0.7)}
    board = one(
        Entry("a", shifted(2.0), both), Entry("b", shifted(1.9), {"noise-5": dumped("c", 0.6)}), Entry("c", shifted(1))
    )
    worst = {line.entry.name: line.worst_delivery for line in board.lines}
    assert worst["c"] is None
    assert worst["a"] is not None
    assert worst["a"].generator == "noise-5"  # jpeg-50 is lower, and the other detector has no such dump
    (told,) = (text for text in sentences(board) if text.startswith("The worst delivery"))
    assert told == "The worst delivery is one that all detectors with deliveries have scored: noise-5."
    (without,) = boards(
        [Entry("a", shifted(2), {"jpeg-50": both["jpeg-50"]}), Entry("b", shifted(1), {"x": both["noise-5"]})], FEW
    )
    assert all(line.worst_delivery is None for line in without.lines)
    assert any(text.startswith("No delivery was scored by all") for text in sentences(without))


def cost(seconds: float, machine: str = "cpu") -> dict[str, Any]:
    return {
        "images": 200, "seconds": 100 * seconds, "cpu_seconds": 200 * seconds, "memory_mb": 500.0, "weights_mb": 4.0,
        "parameters": int(1e6 * seconds), "machine": machine,
    }  # fmt: skip


def test_costs_of_one_machine_make_the_front_and_those_of_two_do_not() -> None:
    a, b, c = shifted(2.0), shifted(1.5), shifted(0.5)
    board = one(Entry("a", a, cost=cost(3)), Entry("b", b, cost=cost(1)), Entry("c", c, cost=cost(2)))
    assert (board.cost, board.front, board.costs()) == ("cpu_seconds", ("a", "b"), [3, 1, 2])
    heads, rows = table(board)
    assert rows[0][heads.index("images/s")].text == "0.667"
    assert rows[0][heads.index("CPU s/image")].text == "3"
    assert "worst delivery" not in heads
    board = one(Entry("a", a, cost=cost(3)), Entry("b", b, cost=cost(1, "gpu")))
    assert board.cost == "parameters"
    assert any("different machines: cpu; gpu. Do not compare speeds" in text for text in sentences(board))


def test_every_form_names_every_detector(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.touch()
    names = ["a_1", "b<i>", "c|d"]
    found = [one(*(Entry(name, shifted(1 + k), cost=cost(k + 1), config=config) for k, name in enumerate(names)))]
    page = render(found, tmp_path / "out")
    for text, shown in (
        (markdown(found, tmp_path / "out"), ["a_1", "b<i>", r"c\|d", "(<../config.yaml>)"]),
        (latex(found), [r"a\_1", "b<i>", "c|d", r"\toprule"]),
        (tidy(found), ["a_1", "b<i>", "c|d", ",mean_rank,"]),
        (page, ["a_1", "b&lt;i&gt;", "c|d", 'href="../config.yaml"', "<svg"]),
    ):
        assert [name for name in shown if name not in text] == []
    assert "b<i>" not in page
    rows = tidy(found).splitlines()
    assert len({len(row.split(",")) for row in rows}) == 1


def test_identical_real_and_generated_images_have_half() -> None:
    base = shifted(1.0)
    same = replace(base, fused_logits=np.zeros(200, np.float32), fused_scores=np.full(200, 0.5, np.float32))
    board = one(Entry("same", same), Entry("other", base))
    line = next(line for line in board.lines if line.entry.name == "same")
    assert line.auroc == 0.5
    assert all(result.value == 0.5 for result in line.sets.values())


@pytest.mark.parametrize("metric", ["ece", "brier"])
def test_calibration_has_a_column(metric: str) -> None:
    assert one(Entry("a", shifted(1.0))).lines[0].of(metric) is not None
