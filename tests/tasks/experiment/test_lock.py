"""An experiment goes on only with the configuration it was begun with."""

import shlex
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.compose import compose
from contracts.errors import ConfigError
from lightning_main import main
from tasks.experiment.lock import FREE, differences, lock_config

CONFIG: dict[str, Any] = {
    "seed": 1,
    "trainer": {"devices": 1, "max_epochs": 2},
    "detector": {"scales": [0.5, 1]},
    "tune": {},
}


def changed(place: str, value: Any) -> dict[str, Any]:
    made = deepcopy(CONFIG)
    *path, last = place.split(".")
    node = made
    for key in path:
        node = node.setdefault(key, {})
    node[last] = value
    return made


@pytest.mark.parametrize("place", FREE)
def test_what_changes_no_number_may_change(place: str) -> None:
    assert differences(CONFIG, changed(place, "new")) == []
    assert differences(CONFIG, changed(place, {"below": "new"})) == []
    assert differences(changed(place, "old"), CONFIG) == []


@pytest.mark.parametrize(
    ("place", "value", "line"),
    [
        ("seed", 2, "seed: 1 → 2"),
        ("trainer.max_epochs", 3, "trainer.max_epochs: 2 → 3"),
        ("detector.scales", [0.5], "detector.scales: [0.5, 1] → [0.5]"),
        ("datamodule.batch_size", 8, "datamodule.batch_size: '(absent)' → 8"),
        ("localised", True, "localised: '(absent)' → True"),
    ],
)
def test_all_else_may_not(place: str, value: Any, line: str) -> None:
    assert differences(CONFIG, changed(place, value)) == [line]


def test_the_first_configuration_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "e"
    lock_config(folder, CONFIG, ("seed=1",))
    text = (folder / "config.lock.yaml").read_text()
    assert yaml.safe_load(text) == {"command": ["seed=1"], "config": CONFIG}
    lock_config(folder, changed("trainer.devices", 4), ("trainer.devices=4",))
    with pytest.raises(ConfigError, match="seed: 1 → 2") as caught:
        lock_config(folder, changed("seed", 2), ("seed=2",))
    assert "experiment_id" in caught.value.step
    assert (folder / "config.lock.yaml").read_text() == text


def test_a_resolved_configuration_survives_the_file(tmp_path: Path) -> None:
    resolved = compose(["datamodule=hdf5", "detector.optimizer.lr=1e-7", "seed=3"]).resolved
    lock_config(tmp_path, resolved, ())
    lock_config(tmp_path, resolved, ())


def test_the_command_refuses_to_go_on_with_another_one(
    trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(file.stat().st_mtime_ns for file in trained.rglob("*"))
    assert main([*words, "seed=101", "detector.dropout=0.5"]) == 2
    told = capsys.readouterr().err
    assert "detector.dropout: 0.0 → 0.5" in told
    assert "seed: 100 → 101" in told
    assert "config.lock.yaml" in told
    assert sorted(file.stat().st_mtime_ns for file in trained.rglob("*")) == before


def test_a_longer_run_is_shown_a_command_that_works(
    trained: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = compose(words).config.trainer["max_epochs"]
    assert main([*words, f"trainer.max_epochs={epochs + 1}"]) == 2
    told = capsys.readouterr().err
    command = next(line for line in told.splitlines() if line.strip().startswith("pixelproof "))
    longer = f"{compose(words).config.experiment_id}_{epochs + 1}_epochs"
    assert f"experiment_id={longer}" in command
    assert "trainer.max_epochs=1 " in command
    assert main(shlex.split(command)[1:]) == 0
    assert (trained / "experiments_data" / longer / "window_0/done").is_file()
    assert main([*words, f"trainer.max_epochs={epochs + 1}", "seed=5"]) == 2
    assert "further epoch" not in capsys.readouterr().err  # that would be another run altogether


TREE = "datamodules.trees.TreeDataModule"


@pytest.mark.parametrize(("key", "default", "other"), [("group", None, 1), ("split", "test", "folds"), ("seed", 0, 1)])
def test_a_key_that_came_with_a_later_version_may_have_its_default(key: str, default: Any, other: Any) -> None:
    locked = {"datamodule": {"_target_": TREE, "path": "a"}}
    now = deepcopy(locked)
    now["datamodule"][key] = default
    assert differences(locked, now) == []
    assert differences(now, locked) == [f"datamodule.{key}: {default!r} → '(absent)'"]
    now["datamodule"][key] = other
    assert differences(locked, now) == [f"datamodule.{key}: '(absent)' → {other!r}"]
