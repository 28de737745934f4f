"""A detector out of a checkpoint, scores of given rows, and where they come from."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from callbacks.collector import Collector
from conf.compose import compose
from contracts.errors import CheckpointError, ConfigError, DataError
from detectors.classifier.detector import Classifier
from detectors.npr.detector import NPR
from tasks.experiment.run import Run
from tasks.experiment.stage_folder import StageFolder
from tasks.scoring.evaluate import config_hash, load_detector, score, versions, with_provenance
from tasks.scoring.failures import write_failures

BEST = Path("experiments_data/e/window_0/checkpoints/best.ckpt")


def run(*words: str) -> Run:
    return Run(compose(["datamodule=hdf5", "datamodule.path=drawn.h5", "experiment_id=x", *words]))


@pytest.mark.usefixtures("trained")
def test_a_checkpoint_describes_itself() -> None:
    loaded = load_detector(run(), BEST)  # the configuration says npr
    assert isinstance(loaded.detector, Classifier)
    state = torch.load(BEST, weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[name]) for name, value in loaded.detector.state_dict().items())
    assert loaded.threshold == loaded.about["threshold"]["value"]
    assert loaded.detector.make_optimizer is None


@pytest.mark.usefixtures("trained")
def test_a_key_of_a_view_that_the_checkpoint_lacks_is_refused_and_the_next_step_works() -> None:
    with pytest.raises(ConfigError, match=r"best\.ckpt was built without eval_view") as refused:
        load_detector(run("detector.eval_view.resize=64"), BEST)
    word = refused.value.step.removeprefix("Set all of it: '").removesuffix("'.")
    assert word == "detector.eval_view={_target_: contracts.view.View, resize: 64}"
    assert load_detector(run(word), BEST).detector.eval_view.resize == 64
    assert load_detector(run("detector.optimizer.lr=0.5"), BEST).detector.make_optimizer is None


def test_foreign_weights_need_the_configuration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    node = compose([]).resolved["detector"]
    assert node["_target_"] == "detectors.npr.detector.NPR"
    source = run().detector()
    torch.save(source.net.state_dict(), tmp_path / "npr.pth")
    loaded = load_detector(run(), tmp_path / "npr.pth")
    assert isinstance(loaded.detector, NPR)
    assert loaded.threshold is None
    assert loaded.about == {}
    assert torch.equal(loaded.detector.net.state_dict()["conv1.weight"], source.net.state_dict()["conv1.weight"])


@pytest.mark.usefixtures("trained")
def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    content = torch.load(BEST, weights_only=True)
    content["pixelproof"]["format"] += 1
    torch.save(content, tmp_path / "new.ckpt")
    with pytest.raises(CheckpointError, match=r"new\.ckpt was written in format 2; this version reads 1"):
        load_detector(run(), tmp_path / "new.ckpt")


def test_a_lost_image_is_an_error_not_a_smaller_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collector, module = Collector(), tiny.data(tmp_path)
    trainer = tiny.trainer(collector)
    rows = module.manifest().rows("test")
    assert score(trainer, tiny.Tiny(), module, rows, collector, "test") is not None
    finish = Collector._finish

    def lossy(self: Collector, *given: object) -> None:
        self._parts = self._parts[:-1]
        finish(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Collector, "on_test_epoch_end", lossy)
    with pytest.raises(DataError, match="of 5 images, 3 were scored and 0 could not be read"):
        score(trainer, tiny.Tiny(), module, rows, collector, "test")
    with pytest.raises(ConfigError, match="does not score images"):
        score(trainer, tiny.Tiny(), module, rows, collector, "guess")


@pytest.mark.usefixtures("trained")
def test_provenance_is_plain_and_depends_on_the_configuration(tmp_path: Path) -> None:
    collector, module = Collector(), tiny.data(tmp_path)
    predictions = score(tiny.trainer(collector), tiny.Tiny(), module, module.manifest().rows("test"), collector, "test")
    assert predictions is not None
    loaded = load_detector(run(), BEST)
    about = with_provenance(predictions, run(), loaded, module, "test").about
    assert about == json.loads(json.dumps(about))
    assert about["decoder"] == "torchvision"
    assert about["config_hash"] == config_hash(run().composed.resolved) != config_hash(run("seed=7").composed.resolved)
    assert about["versions"] == versions()
    assert np.array_equal(with_provenance(predictions, run(), loaded, module, "x").fused_ids, predictions.fused_ids)


def test_failures_are_listed_and_an_older_list_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from datamodules.loading.dataset import Failure

    file = tmp_path / "new/failures.csv"
    write_failures(file, [Failure("a,b", "x.png", 'says "no"')])
    assert file.read_text().splitlines() == ["id,where,reason", '"a,b",x.png,"says ""no"""']
    assert "1 image could not be read; see " in capsys.readouterr().out
    write_failures(file, [])
    assert not file.exists()


def test_a_stage_folder(tmp_path: Path) -> None:
    folder = StageFolder(tmp_path / "e", 3)
    assert folder.read_json("metrics.json") == {}
    folder.write_json("metrics.json", {"a": 1})
    assert folder.read_json("metrics.json") == {"a": 1}
    assert folder.predictions("test") == tmp_path / "e/window_3/predictions_test_all.npz"
    with pytest.raises(CheckpointError, match="has not been trained"):
        folder.best()
    assert not folder.done
    folder.finish()
    assert folder.done
