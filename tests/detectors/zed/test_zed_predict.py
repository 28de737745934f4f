"""``task=predict`` with ZED: the table users know, errors that stop nothing, thresholds, maps."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmarks.drawing.heat import HEAD, draw, limits
from benchmarks.predictions import read_predictions
from conf.compose import compose
from contracts.errors import ConfigError, DataError
from contracts.view import View
from detectors.zed.detector import ZED
from detectors.zed.scores import FIRST_COLUMNS
from tasks.experiment.run import Run
from tasks.predict import predict
from tasks.scoring.map_files import file_name
from tasks.scoring.score_frame import LEADING
from tasks.threshold import threshold
from tests.detectors.zed.scored import score_image

SMALL = ["detector=zed", "detector.mixtures=2", "detector.hidden=8", "detector.blocks=1", "trainer=cpu"]
QUIET = ["+trainer.enable_progress_bar=false", "trainer.enable_model_summary=false"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several sizes, one of a single pixel, one that is none; and weights without any description."""
    made = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (20, 26)), ("sub/b.png", (20, 26)), ("c.png", (33, 17)), ("dot.png", (1, 1))):
        (made / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(made / name)
    (made / "torn.jpg").write_bytes((made / "a.png").read_bytes()[:60])
    torch.manual_seed(0)
    detector = ZED(View(), View(least=2), mixtures=2, hidden=8, blocks=1)
    torch.save(detector.net.state_dict(), made / "weights.pth")
    return made


def run(folder: Path, *words: str) -> pd.DataFrame:
    task = ["task=predict", f"ckpt={folder / 'weights.pth'}", "datamodule=folder", f"datamodule.path={folder}"]
    made = Run(compose([*task, "experiment_id=p", *SMALL, *QUIET, *words]))
    predict(made)
    return pd.read_csv(made.folder / "predictions.csv", keep_default_na=False)


@pytest.mark.filterwarnings("ignore")
def test_the_table_lists_every_image_and_every_error(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = run(folder, "predict.maps=1")
    assert list(frame)[:15] == [*LEADING, *FIRST_COLUMNS]
    assert set(frame["id"]) == {"a.png", "sub/b.png", "c.png", "dot.png", "torn.jpg"}
    failed = frame[frame["error"] != ""].set_index("id")
    assert set(failed.index) == {"dot.png", "torn.jpg"}
    assert "1x1 is too small" in failed.loc["dot.png", "error"]
    out = tmp_path / "experiments_data/p"
    assert (out / "failures.csv").read_text().count("\n") == 3
    torch.manual_seed(0)
    model = ZED(View(), View(least=2), mixtures=2, hidden=8, blocks=1).net.model
    for line in frame[frame["error"] == ""].to_dict("records"):
        pixels = torch.from_numpy(np.array(Image.open(line["where"]))).permute(2, 0, 1)[None]
        for name, value in score_image(model, pixels).items():
            assert float(line[name]) == pytest.approx(value.item(), abs=2e-6), name
        assert float(line["logit"]) == pytest.approx(float(line["AbsDelta01"]), abs=1e-6)  # nothing was calibrated
    told = json.loads((out / "summary.json").read_text())
    assert (told["images"], told["scored"], told["failed"]) == (5, 3, 2)
    values = frame[frame["error"] == ""]["AbsDelta01"].astype(float)
    assert told["scores"]["AbsDelta01"]["median"] == pytest.approx(values.median(), abs=1e-6)
    dump = read_predictions(out / "predictions_predict_all.npz")
    assert set(FIRST_COLUMNS) <= set(dump.extra)
    assert "3 of 5 images scored, 2 failed" in capsys.readouterr().out
    index = json.loads((out / "maps/index.json").read_text())
    (name,) = index
    assert name == dump.fused_ids[dump.fused_logits.argmax()]
    assert list(index[name])[:3] == ["D0_native", "D1_native", "Delta01_vis"]
    assert all((out / "maps" / file).is_file() for file in index[name].values())


@pytest.mark.filterwarnings("ignore")
def test_a_stored_threshold_is_used_by_later_predictions(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = run(folder)
    scored = before["error"] == ""
    before.loc[scored, "label"] = [0, 1, 0]
    before.loc[~scored, "label"] = 1
    before.to_csv("labelled.csv", index=False)
    words = ["threshold.input=labelled.csv", "threshold.column=NLL0", "experiment_id=p"]
    threshold(Run(compose(["task=threshold", *words])))
    kept = json.loads((tmp_path / "experiments_data/p/threshold.json").read_text())
    assert kept["skipped"] == {"without_label": 0, "without_score": 2}
    value, higher = kept["chosen"]["value"], kept["chosen"]["higher_is_generated"]
    for words in ([], ["predict.threshold=experiments_data/p/threshold.json", "predict.out=elsewhere"]):
        run(folder, *words)
        place = Path("elsewhere" if words else "experiments_data/p")
        after = pd.read_csv(place / "predictions.csv", keep_default_na=False)
        after = after[after["error"] == ""]
        beyond = after["NLL0"].astype(float) > value if higher else after["NLL0"].astype(float) < value
        assert (after["generated"].astype(str) == "True").tolist() == beyond.tolist()
    assert "NLL0 " in capsys.readouterr().out
    wrong = {"chosen": {**kept["chosen"], "column": "D9"}}
    (tmp_path / "experiments_data/p/threshold.json").write_text(json.dumps(wrong))
    with pytest.raises(DataError, match="'D9'"):
        run(folder)


def test_a_map_is_drawn_pixel_by_pixel() -> None:
    values = np.linspace(-1, 2, 40 * 70).reshape(40, 70)
    page = np.asarray(Image.open(io.BytesIO(draw(values, "D0, nats"))).convert("RGB"))
    panel = page[HEAD : HEAD + 40, :70].astype(int)
    assert limits(values) == (-2, 2)
    warm = panel[..., 0] - panel[..., 2]
    assert (warm[values > 0.3] > 0).all()
    assert (warm[values < -0.3] < 0).all()
    assert page.shape[1] > 70 + 60
    assert limits(np.append(np.zeros(999), 50.0), robust=0.99)[1] < 1
    assert limits(np.zeros((2, 2))) == (0, 1e-6)


def test_ids_become_file_names() -> None:
    assert file_name("a.png") == "a.png"
    assert file_name("a/b c.png") != file_name("a_b_c.png")
    assert "/" not in file_name("../../x")
    assert not file_name("../x").startswith(".")


@pytest.mark.filterwarnings("ignore")
def test_maps_are_refused_where_there_are_none(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"predict\.robust"):
        run(folder, "predict.maps=1", "predict.robust=0.2")
