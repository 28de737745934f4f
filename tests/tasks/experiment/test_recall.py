"""Naming an experiment brings back the words it was started with."""

import pytest
import yaml

from tasks.experiment.recall import recalled
from tasks.experiment.run import LOCK

BEGUN = [
    "experiment_id=mine",
    "datamodule=hdf5",
    "datamodule.path=a.h5",
    "detector.exact=true",
    "ckpt=start.pth",
    "logger=[csv]",
]


@pytest.fixture(autouse=True)
def begun(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments_data" / "mine"
    folder.mkdir(parents=True)
    (folder / LOCK).write_text(yaml.safe_dump({"command": BEGUN, "config": {}}))


@pytest.mark.parametrize(
    ("given", "remembered"),
    [
        (["task=test"], ["datamodule=hdf5", "datamodule.path=a.h5", "detector.exact=true"]),
        (["task=fit"], ["datamodule=hdf5", "datamodule.path=a.h5", "detector.exact=true", "ckpt=start.pth"]),
        (["task=test", "datamodule.path=b.h5"], ["datamodule=hdf5", "detector.exact=true"]),
        (["task=test", "datamodule=folder"], ["detector.exact=true"]),
        (["task=test", "experiment=demo"], []),
        (["task=predict"], []),
    ],
)
def test_remembered_words_come_before_the_given_ones_and_give_way_to_them(given, remembered, capsys):
    words = [*given, "experiment_id=mine"]
    assert recalled(words) == [*remembered, *words]
    assert ("was started with" in capsys.readouterr().err) is bool(remembered)


def test_words_alone_where_no_experiment_has_begun():
    assert recalled(["task=test", "experiment_id=other"]) == ["task=test", "experiment_id=other"]
    assert recalled(["task=test"]) == ["task=test"]
