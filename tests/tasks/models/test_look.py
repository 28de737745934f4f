"""One image in one line: the Python API, the command, and the folder of named checkpoints."""

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.predictions import read_predictions
from contracts.errors import CheckpointError, ConfigError, DataError
from lightning_main import main
from pixelproof import load
from tasks.models import look as module
from tasks.models.look import looks
from tasks.models.registry import checkpoint

BEST = "experiments_data/e/window_0/checkpoints/best.ckpt"


@pytest.fixture
def images(trained: Path) -> list[Path]:
    """The test images as files, 00.png to 17.png."""
    folder = trained / "images"
    folder.mkdir()
    with h5py.File(trained / "drawn.h5") as file:
        for k, pixels in enumerate(file["test/image"][:]):
            Image.fromarray(pixels).save(folder / f"{k:02d}.png")
    return sorted(folder.iterdir())


def test_scores_are_those_of_task_test_however_an_image_is_given(trained: Path, images: list[Path]) -> None:
    model = load(BEST, device="cpu")
    tested = read_predictions(trained / "experiments_data/e/window_0/predictions_test_all.npz")
    assert model.threshold == tested.about["threshold"]
    found = model.score("images", batch_size=4)  # as it was tested
    assert found["score"].tolist() == tested.fused_scores.tolist()
    assert found["id"].tolist() == [str(Path("images") / file.name) for file in images]
    opened = Image.open(images[0])
    mixed = [images[3], str(images[1]), images[2].read_bytes(), np.array(opened), opened, str(images[1])]
    scores = model.score(mixed)
    assert scores["score"].tolist() == pytest.approx(tested.fused_scores[[3, 1, 2, 0, 0, 1]].tolist(), abs=1e-6)
    assert scores["id"].tolist()[2:5] == ["image 2", "image 3", "image 4"]
    assert scores["id"].tolist()[5] == f"{images[1]} (2)"
    single = model.score(str(images[5]))
    assert single["generated"].tolist() == [bool(tested.fused_scores[5] > model.threshold)]


def test_failures_are_rows_with_reasons(trained: Path, images: list[Path]) -> None:
    model = load(trained / BEST, device="cpu")
    (trained / "bad.png").write_bytes(images[0].read_bytes()[:60])
    found = model.score([trained / "bad.png", images[0], "missing.png"])
    assert (found["error"] != "").tolist() == [True, False, True]
    assert found["score"].isna().tolist() == [True, False, True]
    assert "No such file" in found["error"][2]
    alone = model.score([b"no image"])
    assert alone["error"].tolist() != [""]
    assert list(alone) == list(found)[: len(alone.columns)]
    with pytest.raises(DataError, match="no image to score"):
        model.score([])
    with pytest.raises(ConfigError, match=r"image 0 is ndarray float64 \[4, 4, 3\]"):
        model.score(np.zeros((4, 4, 3)))


def test_the_command_prints_a_verdict_and_its_votes(
    trained: Path, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (trained / "bad=1.png").write_bytes(b"")
    words = ["look", "images/00.png", "bad=1.png", f"ckpt={BEST}", "deliveries=jpeg-50,resize-0.5"]
    assert main(words) == 1
    printed = capsys.readouterr().out
    assert "best: Classifier, threshold" in printed
    assert "images/00.png: " in printed
    assert "after 2 deliveries" in printed
    assert main([*words, "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    score = load(BEST).score(images[0])["score"][0]
    assert lines[0]["votes"] == {"best": pytest.approx(score, abs=1e-6)}
    assert set(lines[0]["deliveries"]) == {"jpeg-50", "resize-0.5"}
    assert lines[1]["score"] is None
    assert lines[1]["error"]


class Fake:
    """A model whose score depends on the delivery alone."""

    def __init__(self, plain: float, delivered: float) -> None:
        self.values, self.threshold, self.has_maps = (plain, delivered), 0.5, False
        self.calibration = None

    def score(self, images: Any, delivery: Any = None) -> Any:
        return pd.DataFrame({"where": images, "error": "", "score": self.values[delivery is not None]})


@pytest.mark.parametrize(
    ("models", "verdict", "flips"),
    [
        ({"a": (0.9, 0.8)}, "generated", []),
        ({"a": (0.2, 0.4)}, "real", []),
        ({"a": (0.2, 0.7)}, "unsure", ["way"]),
        ({"a": (0.9, 0.9), "b": (0.1, 0.1)}, "unsure", []),
        ({"a": (0.9, 0.9), "b": (0.8, 0.1)}, "unsure", ["way"]),
    ],
)
def test_disagreement_is_unsure(models: dict[str, Any], verdict: str, flips: list[str]) -> None:
    made: Any = {name: Fake(*values) for name, values in models.items()}
    (found,) = looks(made, ["x.png"], {"way": lambda image, rng: image})  # noqa: ARG005
    assert (found.verdict, found.flips) == (verdict, flips)
    assert found.score == pytest.approx(np.mean([values[0] for values in models.values()]))


def test_a_delivery_after_which_an_image_cannot_be_scored_has_no_say() -> None:
    model: Any = Fake(0.9, float("nan"))  # too small after it, say
    (found,) = looks({"a": model}, ["x.png"], {"way": lambda image, rng: image})  # noqa: ARG005
    assert (found.verdict, found.flips, found.deliveries) == ("generated", [], {})


class Refusing(Fake):
    """A model that takes no image."""

    def __init__(self, reason: str) -> None:
        super().__init__(float("nan"), float("nan"))
        self.reason = reason

    def score(self, images: Any, delivery: Any = None) -> Any:
        return super().score(images, delivery).assign(error=self.reason)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_checkpoint_that_cannot_score_has_no_vote(order: str) -> None:
    both: dict[str, Any] = {"a": Fake(0.9, 0.8), "b": Refusing("too small")}
    (found,) = looks({name: both[name] for name in order}, ["x.png"], {"way": lambda image, rng: image})  # noqa: ARG005
    assert (found.verdict, found.votes, found.error) == ("unsure", {"a": 0.9}, "b: too small")
    assert found.deliveries == {"way": 0.8}
    assert "not scored by b: too small" in str(found)
    none: Any = {"a": Refusing("too small"), "b": Refusing("too small")}
    (found,) = looks(none, ["x.png"], {})
    assert (found.verdict, found.score, found.error) == ("", None, "too small")


def test_named_checkpoints(trained: Path, images: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", str(images[0])]) == 2
    assert "pixelproof models add FILE name=NAME" in capsys.readouterr().err
    assert main(["models", "add", BEST, "name=mine", "licence=MIT"]) == 0
    assert main(["models"]) == 0
    assert "mine\tClassifier\t" in capsys.readouterr().out
    assert main(["look", str(images[0]), "deliveries=none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["votes"].keys() == {"mine"}
    assert main(["look", str(images[0]), "ckpt=e", "deliveries=none"]) == 0  # an experiment
    assert main(["models", "add", BEST, "name=net-1.5"]) == 0
    capsys.readouterr()
    assert main(["look", str(images[0]), f"ckpt=[net-1.5,{BEST}]", "deliveries=none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["votes"].keys() == {"net-1.5", "best"}
    (trained / "other.ckpt").write_bytes(b"no checkpoint")
    assert main(["models", "add", "other.ckpt"]) == 1
    assert main(["models", "add", BEST, "name=../x"]) == 2
    assert not (trained / "x.ckpt").exists()
    record = Path("models/mine.json")
    record.write_text(record.read_text().replace('"sha256": "', '"sha256": "0'))
    capsys.readouterr()
    assert main(["models", "add", BEST, "name=mine"]) == 2
    assert "delete models/mine.json and models/mine.ckpt first to replace it" in capsys.readouterr().err
    for words, part in {
        ("look", "ckpt=nothing", "a.png"): "no such file, model or experiment",
        ("look", "--fast", "a.png"): "no flag --fast",
        ("look", "size=3", "a.png"): "no option 'size'",
        ("look", "maps=m", str(images[0])): "has maps",
        ("look", ""): "the name of an image is empty",
        ("look", "-"): "no image from standard input",
        ("look", "a.png", "ckpt=e", "ckpt=mine"): "ckpt= is given twice",
        ("models", "remove", "mine"): "is not a command",
        ("look", "deliveries=jpg-5", str(images[0])): "not a delivery",
        ("look", "ckpt=", str(images[0])): "ckpt= has no value",
        ("look", "maps=", str(images[0])): "maps= has no value",
        ("look", "ckpt=images", str(images[0])): "ckpt=images is a folder without config.json",
        ("models", "add", "images"): "images is a folder",
        ("models", "add", "nothing"): "no such file",
    }.items():
        capsys.readouterr()
        assert main(list(words)) == 2, words
        assert part in capsys.readouterr().err
    with pytest.raises(CheckpointError):
        load("other.ckpt")


def test_an_experiment_stands_for_its_last_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for stage in (0, 2, 10):
        file = Path(f"experiments_data/many/window_{stage}/checkpoints/best.ckpt")
        file.parent.mkdir(parents=True)
        file.touch()
    assert checkpoint("many") == file


def test_paths_from_standard_input(
    trained: Path, images: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        module.sys, "stdin", io.StringIO(f"{images[0]}\n\nmissing.png\nnothing\n{images[1]}\r\n", newline="")
    )
    (trained / "nothing").mkdir()
    assert main(["look", "--stdin", "--json", f"ckpt={trained / BEST}", "deliveries=none"]) == 1
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["image"] for one in found] == [str(images[0]), "missing.png", "nothing", str(images[1])]
    assert [one["error"] == "" for one in found] == [True, False, False, True]
    assert [one["threshold"] is None for one in found] == [False, True, True, False]


def test_a_calibrated_checkpoint_gives_its_probability_and_says_what_it_cannot_decide(
    images: list[Path],
) -> None:
    fit = ["task=calibrate", "calibrate.input=e", "calibrate.method=shift", "calibrate.resamples=20"]
    assert main([*fit, "calibrate.sure=0.99"]) == 0
    model = load(BEST, device="cpu")
    assert model.calibration is not None
    raw = model.score(images[:2])
    for one, logit in zip(looks({"best": model}, [str(file) for file in images[:2]], {}), raw["logit"], strict=True):
        assert one.calibrated == {"best": pytest.approx(float(model.calibration.probability(np.array([logit]))[0]))}
        assert (one.undecidable, one.verdict) == (["best"], "unsure")
        assert "  calibrated: best 0." in str(one)
        assert "; undecidable by best" in str(one)


def test_an_address_is_a_row_that_says_how_to_get_its_image(
    trained: Path, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    address = "https://example.org/a.png?size=2"
    assert main(["look", address, str(images[0]), f"ckpt={trained / BEST}", "deliveries=none"]) == 1
    first, second = capsys.readouterr().out.splitlines()[1:]
    reason = f"it is an address, not a file; download it first, for example: curl -LO '{address}'"
    assert first == f"{address}: cannot be read: {reason}"
    assert second.startswith(f"{images[0]}: ")


def test_a_name_cannot_write_to_the_terminal(
    trained: Path, images: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    odd = images[0].with_name("a\n\x1b[2J\u202egnp.png")
    images[0].rename(odd)
    assert main(["look", str(odd), "gone\r.png", f"ckpt={trained / BEST}", "deliveries=none"]) == 1
    _, first, second = capsys.readouterr().out.split("\n")[:3]
    assert first.startswith(r"images/a\n\x1b[2J\u202egnp.png: ".replace("images", str(images[0].parent)))
    assert second.startswith(r"gone\r.png: cannot be read")
    assert main(["look", str(odd), "ckpt=a\x1b[2Jb"]) == 2
    assert "\x1b" not in capsys.readouterr().err
