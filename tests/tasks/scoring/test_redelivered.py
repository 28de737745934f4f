"""Verdicts over deliveries."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from contracts.errors import ConfigError, DataError
from lightning_main import main
from tasks.scoring import redelivered
from tasks.scoring.redelivered import again, verdicts


def table(file: Path) -> list[dict[str, str]]:
    with file.open() as opened:
        return list(csv.DictReader(opened))


def delivered(*scores: list[float]) -> pd.DataFrame:
    values = pd.Series(np.concatenate(scores))
    return pd.DataFrame({"score": values, "generated": (values > 0.5).astype("boolean").mask(values.isna())})


def test_an_image_is_unsure_where_more_deliveries_than_allowed_change_the_call_or_none_is_known() -> None:
    scores = np.array([0.9, 0.1, 0.8, 0.2])
    found = delivered([0.7, 0.2, 0.1, np.nan], [0.95, 0.9, 0.3, np.nan], [np.nan, 0.3, 0.6, np.nan])
    strict = verdicts(scores, scores > 0.5, found, 0)
    assert strict["flips"].tolist() == [0, 1, 2, 0]
    assert strict["verdict"].tolist() == ["generated", "unsure", "unsure", "unsure"]
    assert strict["score_min"].tolist() == [0.7, 0.1, 0.1, 0.2]
    assert strict["score_median"].tolist() == pytest.approx([0.9, 0.25, 0.45, 0.2])
    assert strict["score_max"].tolist() == [0.95, 0.9, 0.8, 0.2]
    assert verdicts(scores, scores > 0.5, found, 1)["verdict"].tolist() == ["generated", "real", "unsure", "unsure"]


def test_a_delivery_is_left_out_only_if_every_image_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    collector: Any = SimpleNamespace(failures=[SimpleNamespace(id="old", reason="r")])

    def stops(*_: Any) -> None:
        collector.failures = [SimpleNamespace(id="a", reason="too small")]
        raise DataError("no image could be scored")

    monkeypatch.setattr(redelivered, "score", stops)
    nothing: Any = None
    assert again(nothing, nothing, nothing, np.arange(1), collector) == (None, {"a": "too small"})
    with pytest.raises(DataError):
        again(nothing, nothing, nothing, np.arange(2), collector)


def test_predict_scores_every_image_as_delivered(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    (trained / "photos").mkdir()
    for number in range(4):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(trained / f"photos/{number}.png")
    (trained / "photos/broken.png").write_bytes((trained / "photos/0.png").read_bytes()[:50])
    words = ["task=predict", "ckpt=experiments_data/e/window_0/checkpoints/best.ckpt", "datamodule=folder"]
    words += ["datamodule.path=photos", "trainer=cpu", "trainer.enable_progress_bar=false"]
    assert main([*words, "experiment_id=plain"]) == 0
    assert main([*words, "experiment_id=p", "predict.deliveries=[resize-1,jpeg-30,noise-60]"]) == 0
    assert "delivery 3 of 3: noise-60" in capsys.readouterr().out
    plain, rows = (table(trained / f"experiments_data/{name}/predictions.csv") for name in ("plain", "p"))
    curves = table(trained / "experiments_data/p/deliveries.csv")
    assert len(curves) == 12
    for before, row in zip(plain, rows, strict=True):
        assert before == {key: row[key] for key in before}
        if row["error"]:
            assert row["verdict"] == row["flips"] == ""
            continue
        own = [one for one in curves if one["id"] == row["id"]]
        scores = [float(row["score"]), *(float(one["score"]) for one in own)]
        assert scores[1] == pytest.approx(scores[0], abs=1e-6)  # resize-1 changes nothing
        assert scores[2] != scores[0]
        got = [float(row[key]) for key in ("score_min", "score_median", "score_max")]
        assert got == pytest.approx([min(scores), np.median(scores), max(scores)])
        flips = sum(one["generated"] != row["generated"] for one in own)
        assert row["flips"] == str(flips)
        assert row["verdict"] == ("unsure" if flips else "generated" if row["generated"] == "True" else "real")
    for wrong in ("predict.shards=2", "predict.unsure_flips=-1", "predict.deliveries=[jpg-30]"):
        assert main([*words, "experiment_id=q", "predict.deliveries=[jpeg-30]", wrong]) == 2
    assert not (trained / "experiments_data/q/predictions.csv").exists()


@pytest.mark.parametrize("flips", [0, 3])
def test_the_verdict_is_the_call_without_flips(flips: int) -> None:
    scores = np.array([0.51, 0.5])
    assert verdicts(scores, scores > 0.5, delivered([0.6, 0.4]), flips)["verdict"].tolist() == ["generated", "real"]


def test_shards_are_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match="shards=2"):
        redelivered.asked(SimpleNamespace(deliveries=["jpeg-50"], shards=2, unsure_flips=0))
