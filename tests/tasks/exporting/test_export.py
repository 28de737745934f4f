"""``task=export``: folders that score as their checkpoint does, in every format and precision."""

import contextlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from contracts.errors import CheckpointError
from lightning_main import main
from pixelproof import load

pytestmark = pytest.mark.usefixtures("trained")
BEST = "experiments_data/e/window_0/checkpoints/best.ckpt"
WORDS = ["task=export", f"ckpt={BEST}", "trainer=cpu", "export.images=6"]


def exported(*words: str) -> None:
    assert main([*WORDS, *words]) == 0


@pytest.fixture(scope="module")
def _graph(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("graph") / "made"
    with contextlib.chdir(_trained):
        exported("export.format=onnx", f"export.out={out}", "export.licence=cc-by-4.0")
    return out


@pytest.fixture
def graph(_graph: Path, trained: Path) -> None:
    """The folder ``made`` with an ONNX graph."""
    shutil.copytree(_graph, trained / "made")


def images() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*side, 3), np.uint8) for side in ((32, 32), (40, 50), (33, 91), (32, 32))]


@pytest.mark.parametrize("kind", ["onnx", "safetensors", "torch_export"])
def test_a_folder_scores_as_its_checkpoint(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "onnx":
        request.getfixturevalue("graph")
    else:
        exported(f"export.format={kind}", "export.out=made", "export.licence=cc-by-4.0", "experiment_id=e")
    settings = json.loads(Path("made/config.json").read_text())
    assert settings["export"]["compared"]["logits"] <= 1e-5
    assert settings["export"]["compared"]["images"] == 6
    assert "optimizer" not in settings["detector"]
    original, again = load(BEST, device="cpu"), load("made", device="cpu")
    assert again.threshold == original.threshold
    theirs = again.score(images())["logit"]
    np.testing.assert_allclose(theirs, original.score(images())["logit"], atol=1e-5)
    card = Path("made/README.md").read_text()
    for part in ('license: "cc-by-4.0"', "| auroc |", "with 95 % intervals", original.loaded.sha256, "Intended use"):
        assert part in card
    chosen = settings["threshold"]
    assert f"{chosen['value']:.6f} on P(generated), chosen on {chosen['images']} validation images by" in card
    assert "\n# e\n" in card  # the experiment of the checkpoint
    assert "on 6 images of 6 sizes (`datamodule=sample`):" in card
    if kind == "torch_export":
        crop = torch.from_numpy(images()[0]).permute(2, 0, 1)[None]
        assert torch.export.load("made/model.pt2").module()(crop).item() == pytest.approx(theirs[0], abs=1e-5)


@pytest.mark.usefixtures("graph")
def test_a_folder_is_a_checkpoint_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    data = ["datamodule=hdf5", "datamodule.path=drawn.h5", "trainer=cpu"]
    found = {}
    for name, ckpt in (("plain", BEST), ("graph", "made")):
        assert main(["task=predict", f"ckpt={ckpt}", f"experiment_id={name}", *data]) == 0
        lines = Path(f"experiments_data/{name}/predictions.csv").read_text().splitlines()
        found[name] = np.array([float(line.split(",")[6]) for line in lines[1:]])
    np.testing.assert_allclose(found["graph"], found["plain"], atol=1e-5)
    Image.fromarray(images()[1]).save("one.png")
    capsys.readouterr()
    assert main(["look", "one.png", "ckpt=made", "deliveries=none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["votes"]["made"] == pytest.approx(
        load(BEST).score("one.png")["score"][0], abs=1e-5
    )


@pytest.mark.usefixtures("graph")
def test_the_reference_needs_only_numpy_pillow_and_onnxruntime() -> None:
    Image.fromarray(images()[2]).save("one.png")
    hidden = "import sys; sys.modules['torch'] = None; sys.argv = ['preprocess.py', 'one.png']\n"
    code = hidden + "import runpy; runpy.run_path('made/preprocess.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) == pytest.approx(load(BEST).score("one.png")["score"][0], abs=1e-4)


@pytest.mark.usefixtures("graph")
def test_fewer_bits_state_what_they_cost() -> None:
    whole = Path("made/model.onnx").stat().st_size
    for precision, share in (("fp16", 0.8), ("int8", 0.8)):
        exported("export.format=onnx", f"export.precision={precision}", f"export.out={precision}")
        about = json.loads(Path(f"{precision}/config.json").read_text())["export"]["compared"]
        assert about["logits"] > 0
        assert about["bytes"][1] == Path(f"{precision}/model.onnx").stat().st_size < share * whole
        assert len(about["auroc"]) == 2
        assert "AUROC on these images" in Path(f"{precision}/README.md").read_text()
    exported("export.precision=fp16", "export.out=half")
    assert load_file("half/model.safetensors")["backbone.conv1.0.weight"].dtype == torch.float16


def test_a_calibration_is_kept_for_the_exported_weights() -> None:
    dump = "experiments_data/e/window_0/predictions_validate_all.npz"
    assert main(["task=calibrate", f"calibrate.input={dump}", "calibrate.method=isotonic", "experiment_id=e"]) == 0
    assert load(BEST).loaded.about["calibration"]
    exported("export.out=made")
    data = ["datamodule=hdf5", "datamodule.path=drawn.h5", "trainer=cpu", "calibrated=true"]
    found = {}
    for name, ckpt in (("plain", BEST), ("folder", "made")):
        assert main(["task=predict", f"ckpt={ckpt}", f"experiment_id={name}", *data]) == 0
        found[name] = Path(f"experiments_data/{name}/predictions.csv").read_text()
    assert found["plain"] == found["folder"]
    assert "`calibrated=true` applies it" in Path("made/README.md").read_text()


def test_changed_weights_are_refused() -> None:
    exported("export.out=made")
    file = Path("made/model.safetensors")
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(CheckpointError, match="its SHA-256 differs"):
        load("made")
    settings = json.loads(Path("made/config.json").read_text())
    settings["export"]["weights"] = "../secret"
    Path("made/config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="not a file beside it"):
        load("made")
    Path("made/config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is not a configuration that task=export wrote"):
        load("made")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["export.precision=int8"], "Choose export.format=onnx"),
        (["export.format=torch_export", "export.precision=fp16"], "safetensors"),
        (["export.images=0"], "export.images=0"),
        (["export.out=a.safetensors", "export.format=onnx"], "Name a folder"),
        (["export.out=experiments_data"], "exists already"),
    ],
)
def test_what_cannot_work_is_refused(words: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, *words]) == 2
    assert text in capsys.readouterr().err


@pytest.mark.usefixtures("graph")
def test_identical_images_get_identical_scores_from_a_graph() -> None:
    model: Any = load("made", device="cpu")
    one = images()[0]
    for count in (1, 3, 7, 9):
        assert len(set(model.score([one] * count, batch_size=5)["logit"])) == 1
    assert isinstance(model.loaded.detector._session, onnxruntime.InferenceSession)
