"""Parts of a large set: scored once each, put together exactly once."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.predictions import Predictions, from_crops
from contracts.errors import ConfigError, DataError
from datamodules.loading.dataset import Failure
from tasks.scoring.shards import Shards, shard_number

IDS = [f"image/{number}" for number in range(11)]
ROWS = np.arange(11)


def scored(rows: np.ndarray) -> Predictions:
    names = np.asarray(IDS)[rows]
    return from_crops(
        rows.astype(np.float32),
        np.arange(len(rows)),
        rows % 2,
        rows % 2,
        names,
        generator_id_to_name=["", "g"],
        identifiers=rows,
    )


def test_parts_in_any_order_make_the_whole(tmp_path: Path) -> None:
    shards = Shards(tmp_path / "shards", 4, "key")
    calls = []
    for number in (2, 0, 3, 1, 2):
        if not shards.done(number):
            calls.append(number)
            rows = shards.rows(ROWS, number)
            unreadable = rows[rows == 5]
            failures = [Failure(IDS[row], "w", "broken") for row in unreadable]
            shards.score(
                number, lambda rows=rows, failures=failures: (scored(rows[rows != 5]), failures, {IDS[rows[0]]: "odd"})
            )
    assert calls == [2, 0, 3, 1]
    assert shards.missing() == []
    whole, failures, notes = shards.merged(IDS)
    assert notes == {IDS[shards.rows(ROWS, number)[0]]: "odd" for number in range(4)}
    assert whole is not None
    assert whole.fused_ids.tolist() == [name for name in IDS if name != IDS[5]]
    assert np.array_equal(whole.fused_logits, np.delete(ROWS, 5).astype(np.float32))
    assert [failure.id for failure in failures] == [IDS[5]]


def test_a_part_without_its_note_is_scored_again(tmp_path: Path) -> None:
    shards = Shards(tmp_path, 2, "key")
    shards.score(0, lambda: (scored(shards.rows(ROWS, 0)), [], {}))
    shards.file(0).with_suffix(".json").unlink()  # killed between the two
    assert shards.missing() == [0, 1]


def test_parts_that_overlap_or_lack_something_are_refused(tmp_path: Path) -> None:
    shards = Shards(tmp_path, 2, "key")
    shards.score(0, lambda: (scored(ROWS[:6]), [], {}))
    shards.score(1, lambda: (scored(ROWS[5:]), [], {}))
    with pytest.raises(DataError, match="more than once"):
        shards.merged(IDS)
    shards.score(1, lambda: (scored(ROWS[7:]), [], {}))
    with pytest.raises(DataError, match="not scored"):
        shards.merged(IDS)


def test_parts_of_something_else_are_refused(tmp_path: Path) -> None:
    Shards(tmp_path, 2, "old").score(0, lambda: (scored(ROWS[:6]), [], {}))
    with pytest.raises(DataError, match="other weights"):
        Shards(tmp_path, 2, "new").done(0)
    assert json.loads(Shards(tmp_path, 2, "old").file(0).with_suffix(".json").read_text())["key"] == "old"


def test_which_part() -> None:
    assert shard_number(1, 3, "predict", {"SLURM_ARRAY_TASK_ID": "2"}) == 1
    assert shard_number(None, 3, "predict", {"SLURM_ARRAY_TASK_ID": "2"}) == 2
    with pytest.raises(ConfigError, match=r"without predict\.shard"):
        shard_number(None, 3, "predict", {})
    with pytest.raises(ConfigError, match="Give 0 to 2"):
        shard_number(3, 3, "predict", {})
