"""Tables and heat map of AI-GenBench results."""

import re

import numpy as np
import pytest

from benchmarks.ai_genbench.metrics import Evaluated, auroc_matrix, headline, stage_metrics
from benchmarks.ai_genbench.tables import load_leaderboard, matrix_table, over_time_table, save_heat_map, stage_table


@pytest.fixture(scope="module")
def stages():
    windows = [[1], [2], [3]]
    draw = np.random.default_rng(5)
    generators = np.repeat([1, 2, 3], 20)
    ids = np.concatenate([np.zeros_like(generators), generators])
    pairing = np.concatenate([generators, np.full_like(generators, -1)])
    result = []
    for stage in range(3):
        scores = np.clip(draw.normal(0.4, 0.2, ids.size) + 0.3 * (ids > 0) * (ids <= stage + 1), 0, 1)
        result.append(stage_metrics(Evaluated(scores, (ids != 0).astype(int), ids, pairing), stage, windows))
    return result


def cells(table, name):
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_over_time_table_holds_ours_and_the_published_rows(stages):
    table = over_time_table({"mine": stages}, "v1")
    ours = headline(stages)
    past = f"{100 * ours.past_without_last:.2f} / {100 * ours.past:.2f}"
    assert cells(table, "mine")[2:4] == [past, f"**{100 * ours.next:.2f}**"]
    assert table.count("\n| ") == 2 + len(load_leaderboard())
    assert "| DINOv2 ViT-L/14 | tune resize | 99.1 | 94.24 | 97.9 |" in table
    assert "Not comparable" not in table
    assert "Not comparable with the leaderboard" in over_time_table({"mine": stages}, "fixed")


def test_stage_and_matrix_tables(stages):
    table = stage_table(stages, "fixed")
    last = cells(table, "2")
    assert last[5:9] == ["–"] * 4, "the last stage has no next window"
    assert last[1] == f"{100 * stages[2].periods['past'].roc_auc:.2f}"
    assert "Protocol fixed" in table
    matrix = auroc_matrix(stages)
    drawn = matrix_table(matrix, "v1")
    numbers = [float(text) for text in re.findall(r"\d+\.\d\d", drawn)]
    np.testing.assert_allclose(np.reshape(numbers, (3, 3)), 100 * matrix, atol=0.0051)


def test_heat_map_is_drawn(stages, tmp_path):
    save_heat_map(auroc_matrix(stages), tmp_path / "map.svg", "v1")
    save_heat_map(np.where(np.eye(3) > 0, np.nan, 0.5), tmp_path / "map.png", "fixed")
    assert (tmp_path / "map.svg").read_text().startswith("<?xml")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
