"""The table of published detectors: written between its marks, and every method's words compose."""

import shlex
from functools import partial
from pathlib import Path

import pytest

from bench.parts import zoo
from bench.parts.zoo import MARKS, keep, kept, methods, untrained, written
from conf.compose import compose
from contracts.errors import DataError
from contracts.files import write_atomically
from detectors.tracer.models.sizes import VarVqvaeSize
from detectors.tracer.models.var_vqvae import VarVqvae

METHODS = methods()


@pytest.mark.parametrize("name", METHODS)
def test_the_words_of_a_method_compose(name: str) -> None:
    trained = "weights" not in METHODS[name]
    words = METHODS[name]["recipe" if trained else "words"]
    resolved = compose(["datamodule=hdf5", "datamodule.path=data.h5", *shlex.split(words)]).resolved
    assert resolved["detector"]["_target_"].startswith("detectors.")
    assert (resolved["trainer"]["max_epochs"] == 20) is trained
    assert (resolved["detector"].get("scheduler") is not None) is trained


def test_a_detector_is_built_without_weights() -> None:
    detector = untrained(METHODS["tiny_ladeda"])
    assert sum(one.numel() for one in detector.trainable()) == 1297
    assert not detector.training


def test_files_of_a_method_hold_random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    size = VarVqvaeSize(channels=32, latent=8, codebook=16, patch_nums=(1, 2))
    monkeypatch.setattr(zoo, "RANDOM", {**zoo.RANDOM, "var_vqvae": partial(VarVqvae, size)})
    detector = untrained(METHODS["aeroblade"])
    assert not detector.trainable()
    assert [name for name, _ in detector.net.named_children()] == ["autoencoders", "lpips"]


def test_the_table_lies_between_its_marks() -> None:
    area = {"value": 0.7, "low": 0.6, "high": 0.81}
    found = {
        "b": {"parameters": 1300, "trained": 12, "rate": 396.2, "pooled": area, "seen": area},
        "c": {"parameters": 7, "trained": 0, "rate": 0.999},
    }
    facts = {"a": {}, "b": {"note": "short"}, "c": {"weights": "X", "size": 224}}
    page = "\n".join(["before", MARKS[0], "old", MARKS[1], "after"])
    made = written(page, facts, found)
    lines = made.splitlines()
    assert (lines[:2], lines[-2:]) == (["before", MARKS[0]], [MARKS[1], "after"])
    assert lines[4:-2] == [
        "| `b` | 1,300 (12) | 400 (256²) | 0.70 (0.60–0.81) | 0.70 (0.60–0.81) | not measured | short |",
        "| `c` | 7 (0) | 1.0 (224²) | none: needs weights of X | – | – |  |",
    ]
    assert written(made, facts, found) == made
    with pytest.raises(DataError, match="lacks <!-- to here"):
        written(MARKS[0], {}, {})


def test_what_is_measured_is_added_to_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo, "DOCS", tmp_path)
    (tmp_path / "zoo.yaml").write_text("{recipe: r, crops: c, methods: {a: {words: detector=a, training: x=1}}}")
    write_atomically(tmp_path / "zoo.md", "\n".join(MARKS).encode())
    assert kept() == {}
    keep("a", {"parameters": 5, "trained": 5, "rate": 1.0})
    keep("a", {"rate": 2.0})
    assert kept() == {"a": {"parameters": 5, "trained": 5, "rate": 2.0}}
    assert methods()["a"] == {"words": "detector=a", "training": "x=1", "recipe": "r c detector=a x=1"}
    assert "| `a` | 5 (5) | 2.0 (256²) |" in (tmp_path / "zoo.md").read_text()
