"""Words of the command line and YAML files become one configuration, or an error that helps."""

from pathlib import Path

import pytest

from conf.cli.words import expand
from conf.compose import compose
from conf.sources import sources
from contracts.errors import ConfigError


def test_defaults_experiment_local_and_words_in_this_order(folder: Path) -> None:
    plain = compose([], folder)
    assert plain.config.task == "fit"
    assert plain.config.seed == 100
    assert plain.config.experiment is None
    assert plain.config.trainer["max_epochs"] == 2
    assert plain.config.trainer["accelerator"] == "cpu"  # of local/default.yaml
    recipe = compose(["experiment=tiny"], folder)
    assert recipe.config.seed == 7
    assert recipe.config.experiment == recipe.resolved["experiment"] == "tiny"
    assert recipe.config.trainer["max_epochs"] == 1
    words = compose(["experiment=tiny", "seed=8", "trainer.max_epochs=9"], folder)
    assert (words.config.seed, words.config.trainer["max_epochs"]) == (8, 9)
    assert words.config.benchmark["seed"] == 8


def test_an_argument_the_yaml_file_leaves_out_needs_no_plus(folder: Path) -> None:
    composed = compose(["trainer.gradient_clip_val=1.5", "detector.optimizer.fused=true"], folder)
    assert composed.config.trainer["gradient_clip_val"] == 1.5
    assert composed.config.detector["optimizer"]["fused"] is True


def test_several_loggers_none_and_local_names(folder: Path) -> None:
    assert list(compose(["logger=[csv,wandb]"], folder).config.logger) == ["csv", "wandb"]
    assert compose(["logger=null"], folder).config.logger == {}
    assert compose(["~logger"], folder).config.logger == {}
    assert compose(["detector=null"], folder).config.detector == {}
    assert compose(["datamodule.path=${local.root}/x"], folder).config.datamodule["path"] == f"{folder.parent}/x"


def test_resolved_is_plain(folder: Path) -> None:
    def kinds(node: object) -> set[type]:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        return {type(node)}.union(*map(kinds, inner))

    assert kinds(compose(["review.inputs=[a.npz]"], folder).resolved) <= {dict, list, str, int, float, bool, type(None)}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("detector=nrp", ["detector=nrp does not exist", "'npr'"]),
        ("experiment=tyni", ["experiment=tyni does not exist", "tiny"]),
        ("logger=[csv,wandbb]", ["logger=wandbb", "'wandb'"]),
        ("detectr=npr", ["key 'detectr' does not exist", "'detector'"]),
        ("sed=3", ["key 'sed' does not exist", "'seed'"]),
        ("+trainr.x=3", ["key 'trainr' does not exist", "'trainer'"]),
        ("prepare.sise=3", ["no option 'sise'", "'size'"]),
        ("prepare.storage=pixel", ["'pixel' is not a valid value", "'pixels'"]),
        ("prepare=3", ["prepare is not a single value", "prepare.out"]),
        ("task.fit=1", ["task is a single value"]),
        ("ckpt=None", ["'None'", "ckpt=null"]),
        ("datamodule.path=None", ["datamodule.path=null"]),
        ("ckpt=epoch=1-step=20.ckpt", ["cannot read", "Quote", "'ckpt=\"epoch=1-step=20.ckpt\"'"]),
        ("seed=abc", ["seed=abc", "Integer"]),
        ("seed=1,2", ["several values", "-m", "'seed=[1,2]'"]),
        ("seed=range(1,3)", ["several values", "Add -m to run them one by one, or quote"]),
        ("--multi", ["unknown option", "'--multirun'"]),
        ("nothing", ["nothing=VALUE"]),
        ("trainer/x=1", ["groups cannot be nested"]),
        ("hydra.run.dir=x", ["Hydra's own settings"]),
        ("detector={a: 1}", ["chosen by name", "known: "]),
        ("metrics={mcc: {_target_: torch.A}}", ["chosen by name", "metrics.mcc={_target_: …}"]),
        ("datamodule.path=${local.nowhere}", ["local.nowhere", "conf/local/default.yaml"]),
    ],
)
def test_a_wrong_word_is_explained(folder: Path, word: str, told: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        compose([word], folder)
    for part in told:
        assert part in str(caught.value)


def test_all_wrong_words_are_reported_at_once(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"(?s)nrp.*'sed'"):
        compose(["detector=nrp", "sed=3"], folder)


def test_a_quoted_checkpoint_name_may_hold_an_equals_sign(folder: Path) -> None:
    assert compose(['ckpt="epoch=1-step=20.ckpt"'], folder).config.ckpt == "epoch=1-step=20.ckpt"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# @package _global_\nsede: 1\n", ["experiment/bad", "'sede'", "'seed'"]),
        ("# @package _global_\nprepare:\n  sise: 1\n", ["experiment/bad", "'prepare.sise'", "'size'"]),
        ("# @package _global_\ndefaults:\n  - override /detector: nrp\n", ["detector=nrp", "'npr'"]),
        ("seed: 1\n", ["# @package _global_"]),
        ("# @package _global_\nseed: [\n", ["bad.yaml", "line 3"]),
    ],
)
def test_a_wrong_yaml_file_is_explained(folder: Path, text: str, told: list[str]) -> None:
    (folder / "experiment/bad.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        compose(["experiment=bad"], folder)
    for part in told:
        assert part in str(caught.value)


def test_jobs_of_a_sweep(folder: Path) -> None:
    jobs = expand(["seed=1,2", "trainer.max_epochs=range(3,5)", "task=test"], folder)
    assert jobs == [
        ["seed=1", "trainer.max_epochs=3", "task=test"],
        ["seed=1", "trainer.max_epochs=4", "task=test"],
        ["seed=2", "trainer.max_epochs=3", "task=test"],
        ["seed=2", "trainer.max_epochs=4", "task=test"],
    ]
    assert expand(["datamodule=glob(*)"], folder) == [["datamodule=open"], ["datamodule=sample"]]
    with pytest.raises(ConfigError, match="interval"):
        expand(["seed=interval(0,1)"], folder)


def test_every_value_has_a_source(folder: Path) -> None:
    origin = sources(compose(["experiment=tiny", "detector.train_view.crop=16", "detector.exact=true"], folder))
    assert origin["seed"] == "conf/experiment/tiny.yaml"
    assert origin["trainer.max_epochs"] == "conf/experiment/tiny.yaml"
    assert origin["trainer.devices"] == "conf/trainer/auto.yaml"
    assert origin["trainer.accelerator"] == "conf/local/default.yaml"
    assert origin["detector.train_view.crop"] == origin["detector.exact"] == "command line"
    assert origin["detector.optimizer.lr"] == "conf/detector/npr.yaml"
    assert origin["logger.csv.save_dir"] == "conf/logger/csv.yaml"
    assert origin["tune.lr"] == "conf/keys/schema.py"
