"""Help for one thing at a time, and for all."""

import re

import pytest

from conf.cli.groups import CONF, group_names, group_options
from conf.help.overview import help_for
from conf.keys.verbs import verb_text, verbs
from contracts.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["task=predict"], ["task=predict: Scores every image", "ckpt=…", "predict.out=null", "It uses datamodule"]),
        (["predict"], ["task=predict: Scores every image"]),
        (["fit"], ["task=fit: Trains the stages"]),
        (
            ["detector=npr"],
            ["conf/detector/npr.yaml", "detector.optimizer.lr=2e-4", "detector.exact=false", "arithmetic"],
        ),
        (["detector"], ["detector=npr", "detector=zed", "Single-scale NPR"]),
        (["model"], ["detector=npr"]),
        (["datamodule=parquet"], ["datamodule.columns", "our column names → the data set's", "datamodule.path=???"]),
        (["datamodule=parquet", "datamodule.batch_size"], ["datamodule.batch_size=32", "int: "]),
        (["lr"], ["detector.optimizer.lr=0.0002"]),
        (["datamodule.columns"], ["With datamodule=parquet: Arguments of", "With datamodule=folder"]),
        (["detector.train_view"], ["contracts.view.View", "detector.train_view.crop=224"]),
        (["seed"], ["seed=100"]),
        (["seed=3"], ["seed=100"]),
        (["predict.out"], ["predict.out=null"]),
        (["prepare.storage"], ["encoded|pixels"]),
        (["audit.deliveries"], ["audit.deliveries=[jpeg-95,jpeg-75,"]),
        (["trace.fit_on"], ["trace.fit_on=[train]"]),
        (["logger=[csv,wandb]"], ["logger.csv.save_dir", "logger.wandb.tags=[]"]),
        (["experiment=demo"], ["trainer.max_epochs=30", "datamodule=hdf5"]),
        (["launcher=slurm"], ["launcher.after=[]", "complete successfully first"]),
        (["tune"], ["tune.lr=false"]),
    ],
)
def test_help_for_one(words: list[str], parts: list[str]) -> None:
    text = help_for(words, CONF)
    for part in parts:
        assert part in " ".join(text.split())
    assert "`" not in text


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (["task=train"], "task=fit"),
        (["task=predct"], "'predict'"),
        (["detector=nrp"], "'npr'"),
        (["detecto"], "'detector'"),
        (["predict.ot"], "'out'"),
        (["detector.exat"], "'detector.exact'"),
        (["datamodule=sample", "datamodule.columns"], "did you mean"),
        (["nothing.x"], "known: "),
    ],
)
def test_what_cannot_be_explained_is_refused(words: list[str], step: str) -> None:
    with pytest.raises(ConfigError) as caught:
        help_for(words, CONF)
    assert step in str(caught.value)


def test_nothing_is_dropped_and_no_mark_is_left() -> None:
    text = " ".join(help_for([], CONF).split())
    assert "`" not in text
    for name, meaning in verbs().items():
        assert f"task={name} {' '.join(meaning.replace('`', '').split())}" in text
    assert "Prepares images for training in one HDF5 file" in text  # nothing is cut at a colon


@pytest.mark.parametrize("task", verbs())
def test_every_task_has_its_help(task: str) -> None:
    assert verb_text(task)
    assert f"task={task}: " in help_for([f"task={task}"], CONF)


@pytest.mark.parametrize("group", [name for name in group_names() if name not in ("local", "metrics")])
def test_every_option_of_every_group_has_its_help(group: str) -> None:
    for name in group_options(group):
        text = help_for([f"{group}={name}"], CONF)
        assert f"{group}={name}" in text
        assert "It sets" in text
        assert not re.search(r":\w+:`|``", text)
