"""The Python API: what a notebook gives to it, and what it gives back."""

import io
import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typed_program import program

import pixelproof
from contracts.errors import ConfigError, DataError
from lightning_main import main
from pixelproof import compose, evaluate, load, read_dump, review, run
from tasks.models.model import ONE_AT_A_TIME

BEST = "experiments_data/e/window_0/checkpoints/best.ckpt"
DUMP = "experiments_data/e/window_0/predictions_test_all.npz"


def photo(seed: int = 0) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((90, 60))


@pytest.fixture
def odd(trained: Path) -> Path:
    """A folder of images in unusual modes."""
    folder, image = trained / "odd", photo()
    folder.mkdir()
    image.quantize(16).save(folder / "palette.png")
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    clear.save(folder / "alpha.png")
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) << 8).save(folder / "16.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(folder / "turned.jpg", exif=exif)
    return folder


def test_a_pil_image_scores_as_its_file(odd: Path) -> None:
    model = load("e", device="cpu")
    files = sorted(odd.iterdir())
    opened = model.score([Image.open(file) for file in files])["score"].tolist()
    assert opened == pytest.approx(model.score(odd, decoder="pillow")["score"].tolist(), abs=1e-6)
    turned = Image.open(odd / "turned.jpg")
    pixels = np.asarray(turned)
    upright = model.score(np.rot90(pixels, -1))["score"].tolist()
    assert model.score(turned)["score"].tolist() == upright
    assert model.score(turned.rotate(-90, expand=True))["score"].tolist() == upright  # it keeps its EXIF data
    assert model.score(Image.fromarray(pixels))["score"].tolist() != upright


def test_whatever_holds_images_is_taken(odd: Path) -> None:
    model = load(Path(BEST), device="cpu")
    file = odd / "palette.png"
    expected = model.score(file)["score"].tolist()
    for one in (file.read_bytes(), bytearray(file.read_bytes()), io.BytesIO(file.read_bytes()), file.open("rb")):
        assert model.score(one)["score"].tolist() == pytest.approx(expected, abs=1e-6)
    for several in (odd.glob("*.png"), pd.Series([str(each) for each in odd.glob("*.png")]), {file, odd / "16.png"}):
        assert not model.score(several)["score"].isna().any()
    stack = np.stack([np.asarray(photo(seed)) for seed in range(3)])
    assert model.score(stack)["score"].tolist() == model.score(list(stack))["score"].tolist()
    assert repr(model).startswith(f"Model(Classifier, {BEST}, threshold 0.")


@pytest.mark.parametrize(
    ("image", "step"),
    [
        (np.zeros((4, 4, 3), np.float32), "(image * 255)"),
        (np.zeros((4, 4), np.uint16), "(image >> 8)"),
        (np.zeros((3, 8, 8), np.uint8), "np.moveaxis(image, 0, 2)"),
        (np.zeros((8, 8, 4), np.uint8), "PIL.Image.fromarray"),
        (np.zeros((0, 4, 3), np.uint8), "[H, W, 3]"),
        (None, "[H, W, 3]"),
    ],
)
def test_another_array_is_refused_before_anything_is_scored(trained: Path, image: Any, step: str) -> None:
    with pytest.raises(ConfigError, match="image 1 is") as refused:
        load(trained / BEST, device="cpu").score([photo(), image])
    assert step in refused.value.step


def test_images_that_all_fail_have_the_columns_of_others(trained: Path) -> None:
    model = load(trained / BEST, device="cpu")
    buffer = io.BytesIO()
    photo().save(buffer, "JPEG")
    cut = buffer.getvalue()[:-200]
    failed, mixed = model.score(cut), model.score([photo(), cut])
    leading = list(failed)
    assert list(mixed)[: len(leading)] == leading
    assert "truncated" in failed["error"][0]
    columns = [name for name in leading if name not in ("id", "where")]
    pd.testing.assert_frame_equal(failed[columns], mixed[columns][1:].reset_index(drop=True))
    assert failed[failed["generated"]].empty
    with pytest.raises(DataError, match="no image to score"):
        model.score([])


def test_what_a_model_lacks_is_refused_when_asked_for(trained: Path, monkeypatch: Any) -> None:
    with pytest.raises(ConfigError, match=r"Classifier has no maps\n.*has_maps"):
        load(trained / BEST, device="cpu").map(np.zeros((40, 40, 3), np.uint8))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    for device in ("tpu", "cuda"):
        with pytest.raises(ConfigError, match=f"device='{device}' is none of cpu\n"):
            load(trained / BEST, device=device)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ConfigError, match="device='cuda:1' is none of cpu, cuda, cuda:0\n"):
        load(trained / BEST, device="cuda:1")


def test_threads_take_turns(trained: Path) -> None:
    model = load(trained / BEST, device="cpu")
    images = [photo(seed) for seed in range(6)]
    expected = model.score(images)["score"].tolist()
    alone: list[bool] = []

    def watched(image: Any, rng: Any) -> Any:  # noqa: ARG001
        alone.append(ONE_AT_A_TIME.locked())
        return image

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: model.score(images, delivery=watched)["score"].tolist(), range(4)))
        assert found == [expected] * 4
        seeds = list(pool.map(lambda seed: compose([f"seed={seed}", "task=doctor"]).config.seed, range(8)))
    assert seeds == list(range(8))
    assert alone == [True] * 24


def test_scores_do_not_depend_on_batches_or_the_folder(trained: Path, tmp_path: Path, monkeypatch: Any) -> None:
    images = [photo(seed) for seed in range(9)]
    expected = load("e", device="cpu").score(images, batch_size=9)["score"].tolist()
    monkeypatch.chdir(tmp_path)
    found = load(trained / BEST, device="cpu").score(images, batch_size=2)
    assert found["score"].tolist() == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ConfigError, match="ckpt=e: no such file, model or experiment"):
        load("e")


def test_evaluate_gives_the_numbers_of_task_test(trained: Path) -> None:
    written = pd.read_csv(trained / "experiments_data/e/window_0/metrics_test.csv", keep_default_na=False)
    found = evaluate("e")
    assert list(found) == list(written)
    assert len(found) > 20
    for column in found:
        if found[column].dtype.kind == "f":
            expected = [float(value) if value != "" else math.nan for value in written[column]]
            assert np.array_equal(found[column], expected, equal_nan=True), column
        else:
            assert found[column].astype(str).tolist() == written[column].astype(str).tolist()
    dump = read_dump(trained / DUMP)
    assert repr(dump) == "Predictions(18 images: 9 real, 9 generated by 2 generators; e · test)"
    few = evaluate(dump, metrics=["accuracy"], threshold=0.25, resamples=None)
    assert set(few["at"]) == {"0.5", "validation"}
    assert set(few["threshold"]) == {0.5, 0.25}
    assert few["low"].isna().all()
    with pytest.raises(ConfigError, match="metric 'auc' is unknown"):
        evaluate(dump, metrics=["auc"])


def test_review_writes_a_page_and_warns_of_images_it_cannot_show(trained: Path, monkeypatch: Any) -> None:
    page = review("e", resamples=20)
    assert page == Path("experiments_data/e/window_0/review/index.html")
    (trained / "elsewhere").mkdir()
    monkeypatch.chdir(trained / "elsewhere")
    with pytest.warns(UserWarning, match="18 images cannot be shown: drawn.h5 does not exist"):
        assert review([trained / DUMP], "page", resamples=20).is_file()
    with pytest.raises(DataError, match="there is no experiment or file 'e'"):
        review(["e"])
    with pytest.raises(ConfigError, match="review needs a dump"):
        review([])


@pytest.mark.parametrize("words", [["detector=nrp"], ["trainer.max_epoch=1"], ["task=nope"], "task=test detector=nrp"])
def test_refusals_are_those_of_the_command_line(
    words: list[str] | str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        compose(words)
    assert main(words.split() if isinstance(words, str) else words) == 2
    assert capsys.readouterr().err == f"pixelproof: {refused.value}\n"
    with pytest.raises(ConfigError) as again:
        run(words)
    assert str(again.value) == str(refused.value)


def test_a_program_may_use_hydra_itself(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("a: 1\n")
    version = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}
    with hydra.initialize_config_dir(config_dir=str(tmp_path), **version):
        assert compose(["task=doctor", "seed=3"]).config.seed == 3
        assert hydra.compose("mine").a == 1


def test_a_typed_program_runs(trained: Path, odd: Path) -> None:
    assert program("e", odd)[:2] == [
        "doctor",
        "detector=nrp does not exist\n  → did you mean 'npr'?",
    ]
    assert trained == Path.cwd()


def test_former_names_warn() -> None:
    for former, (now, _) in pixelproof._FORMER.items():
        with pytest.warns(DeprecationWarning, match=f"pixelproof.{former} is now pixelproof.{now}; version 0.4"):
            assert getattr(pixelproof, former) is getattr(pixelproof, now)
    assert {*pixelproof._FORMER}.isdisjoint(pixelproof.__all__)


def test_every_name_is_imported_from_its_own_place() -> None:
    for name in pixelproof.__all__:
        assert name in dir(pixelproof)
        found = getattr(pixelproof, name)
        assert (found.__module__, found.__name__) in {(pixelproof._MODULES[name], name)} | {
            ("benchmarks.dumps.columns", "Predictions")
        }
        assert found.__doc__


def test_dumps_are_read_and_measured_without_torch(trained: Path) -> None:
    code = (
        "import sys, pixelproof; print({'torch', 'pandas', 'hydra'} & sys.modules.keys())\n"
        f"from pixelproof import read_dump, evaluate, review; evaluate(read_dump({DUMP!r}), resamples=20)\n"
        "print({'torch', 'pytorch_lightning', 'torchvision'} & sys.modules.keys()); pixelproof.nothing"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=trained, env=env)
    assert done.stdout == "set()\nset()\n", done.stderr
    assert "it has CheckpointError, Composed, " in done.stderr
