"""Hydra's habits: its flags work, those we lack are refused with our word for them, and their folders are ours."""

import os
from pathlib import Path

import pytest
import yaml

import lightning_main
from conf.check import check
from conf.cli.flags import Given, read_flags
from conf.cli.groups import group_options, search_folders
from conf.cli.words import expand
from conf.compose import compose
from conf.help.overview import help_for
from conf.shown import shown_config, shown_info
from conf.sources import sources
from contracts.errors import ConfigError


@pytest.mark.parametrize(
    ("words", "flags", "others"),
    [
        (["seed=1", "-c", "job", "task=test"], {"--cfg": "job"}, ["seed=1", "task=test"]),
        (["--cfg=all", "--resolve", "-p", "trainer"], {"--cfg": "all", "--resolve": "", "--package": "trainer"}, []),
        (["--info"], {"--info": "all"}, []),
        (["-i", "seed=1"], {"--info": "all"}, ["seed=1"]),
        (["--info", "--config-name=x"], {"--info": "all"}, ["--config-name=x"]),
        (["-i", "defaults-tree", "seed=1"], {"--info": "defaults-tree"}, ["seed=1"]),
        (["-m", "seed=1,2"], {"--multirun": ""}, ["seed=1,2"]),
        (["-cd", "/a", "-cn", "b.yaml", "~ckpt"], {}, ["--config-dir=/a", "--config-name=b", "~ckpt"]),
        (["--config-dir=/a", "--config-dir", "/b"], {}, ["--config-dir=/a", "--config-dir=/b"]),
        (["--help", "-m", "detector"], {"--help": "", "--multirun": ""}, ["detector"]),
        (["--completion", "fish"], {"--completion": "fish"}, []),
    ],
)
def test_flags_are_read_wherever_they_are(words: list[str], flags: dict[str, str], others: list[str]) -> None:
    assert read_flags(words) == Given(flags, others)


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (["--cfg", "jbo"], "'job'"),
        (["--cfg", "seed=1"], "known: all, hydra, job"),
        (["--cfg"], "See pixelproof --help."),
        (["--completion"], "See pixelproof --help."),
        (["--info", "default"], "'defaults'"),
        (["--info=plugins"], "known: all"),
        (["--completion", "bsh"], "'bash'"),
        (["--resolve"], "--cfg job"),
        (["-p", "trainer"], "--cfg job"),
        (["-m", "--cfg", "job"], "one of them"),
        (["--shell-completion"], "--completion bash"),
        (["-sc", "install=bash"], "--completion bash"),
        (["--experimental-rerun", "config.pickle"], "experiment_id=NAME"),
        (["--experimental-rerun=config.pickle"], "experiment_id=NAME"),
        (["-cp", "conf"], "--config-dir=DIR"),
        (["--config-path=conf"], "--config-dir=DIR"),
        (["--run"], "Leave it out"),
        (["--hlep"], "'--help'"),
        (["--multi"], "'--multirun'"),
        (["--configdir=x"], "'--config-dir'"),
        (["-q"], "known: "),
        (["--config-dir", "/nowhere/at/all"], "GROUP/OPTION.yaml"),
        (["--config-name", "confg"], "'config'"),
        (["hydra/launcher=submitit"], "launcher=NAME"),
        (["hydra.launcher.timeout=3"], "launcher.KEY=VALUE"),
        (["hydra/sweeper=optuna"], "task=sweep"),
        (["+hydra.sweeper.params.seed=1"], "task=sweep"),
        (["hydra.run.dir=x"], "experiment_id=NAME"),
        (["hydra.sweep.dir=x"], "experiment_id=NAME"),
        (["hydra.job.chdir=true"], "experiment_id=NAME"),
        (["~hydra.callbacks"], "callbacks=NAME"),
        (["hydra.verbose=true"], "--hydra-help"),
        (["-m", "hydra/launcher=a,b", "seed=1"], "launcher=NAME"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_next_step(
    words: list[str], step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lightning_main.main(words) == 2
    text = capsys.readouterr().err
    assert step in text
    assert "Traceback" not in text


@pytest.fixture
def theirs(folder: Path, tmp_path: Path) -> Path:
    made = tmp_path / "their own"
    (made / "detector").mkdir(parents=True)
    (made / "experiment").mkdir()
    text = (folder / "detector/npr.yaml").read_text()
    (made / "detector/mine.yaml").write_text(f"# Their detector\n{text}")
    (made / "experiment/study.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /detector: mine\nseed: 3\n"
    )
    (made / "other.yaml").write_text("defaults: [config, _self_]\nseed: 5\n")
    return made


def test_their_groups_are_used_beside_ours_and_checked(folder: Path, theirs: Path) -> None:
    words = [f"--config-dir={theirs}", "experiment=study", "detector.exact=true"]
    composed = compose(words, folder)
    assert check(composed) == []
    assert composed.config.seed == 3
    assert composed.choices["detector"] == "mine"
    assert compose([words[0], "detector=npr"], folder).choices["detector"] == "npr"
    origin = sources(composed)
    assert origin["detector.train_view.crop"] == str(theirs / "detector/mine.yaml")
    assert origin["datamodule.path"] == "conf/datamodule/sample.yaml"
    (problem,) = check(compose([*words, "detector.exat=1"], folder))
    assert "'exact'" in str(problem)
    with pytest.raises(ConfigError, match="'mine'"):
        compose([words[0], "detector=mien"], folder)
    with pytest.raises(ConfigError, match="detector=mine does not exist"):
        compose(["detector=mine"], folder)


def test_their_groups_are_in_help_and_in_several_runs(folder: Path, theirs: Path) -> None:
    there = f"--config-dir={theirs}"
    assert "mine" in help_for([there], folder)
    assert "Their detector" in help_for([there, "detector"], folder)
    help_text = " ".join(help_for([there, "detector=mine"], folder).split())  # a path with a space may be wrapped there
    assert str(theirs / "detector/mine.yaml") in help_text
    assert expand([there, "detector=glob(*)", "seed=choice(1,2)"], folder) == [
        [there, f"detector={name}", f"seed={seed}"] for name in ("mine", "npr") for seed in (1, 2)
    ]
    assert group_options("detector", *search_folders([there], folder)) == ["mine", "npr"]


def test_another_whole_configuration(folder: Path, theirs: Path) -> None:
    words = [f"--config-dir={theirs}", "--config-name=other"]
    assert compose(words, folder).config.seed == 5
    assert compose([*words, "seed=6"], folder).config.seed == 6
    (theirs / "bare.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError, match=r"defaults: \[config, _self_\]"):
        compose([words[0], "--config-name=bare"], folder)


def test_two_files_of_one_name_are_refused(folder: Path, theirs: Path) -> None:
    (theirs / "detector/npr.yaml").write_text("{}")
    with pytest.raises(ConfigError, match="Rename"):
        compose([f"--config-dir={theirs}"], folder)


def test_relative_folders_mean_those_of_today(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_flags(["-cd", "mine"]).words == [f"--config-dir={tmp_path}{os.sep}mine"]


def test_the_configuration_is_printed_as_it_is_typed(folder: Path) -> None:
    words = ["seed=1_0", "experiment_id=12_3"]
    shown = yaml.safe_load(shown_config(words, folder=folder))
    assert shown["experiment_id"] == "12_3"
    assert shown["seed"] == 10
    assert shown["benchmark"]["seed"] == "${seed}"
    assert yaml.safe_load(shown_config(words, resolve=True, folder=folder))["benchmark"]["seed"] == 10
    part = shown_config(words, package="detector.train_view", folder=folder)
    assert part.startswith("# @package detector.train_view\n")
    assert yaml.safe_load(part)["crop"] == 32
    assert shown_config(words, package="trainer.max_epochs", folder=folder) == "2"
    assert set(yaml.safe_load(shown_config([], "hydra", folder=folder))) == {"hydra"}
    both = yaml.safe_load(shown_config([], "all", resolve=True, folder=folder))
    assert {"hydra", "seed"} <= set(both)
    with pytest.raises(ConfigError, match=r"'detector\.train_view'"):
        shown_config([], package="detector.trainview", folder=folder)


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("defaults", ["detector/npr", "package: detector"]),
        ("defaults-tree", ["detector: npr", "logger/csv"]),
        ("searchpath", ["their own", "schema"]),
        ("config", ["detector: npr", "max_epochs: 2"]),
        ("all", ["detector: npr", "max_epochs: 2", "their own"]),
    ],
)
def test_how_it_is_composed(folder: Path, theirs: Path, what: str, parts: list[str]) -> None:
    text = shown_info([f"--config-dir={theirs}"], what, folder)
    for part in parts:
        assert part in text


def test_the_command_itself_answers(capsys: pytest.CaptureFixture[str]) -> None:
    for words, part in (
        (["--version"], "Hydra 1."),
        (["--hydra-help"], "launcher=NAME"),
        (["--cfg", "job", "-p", "seed"], "100"),
        (["-i", "searchpath"], "conf"),
        (["--completion", "zsh"], "compdef"),
        (["--help"], "--config-dir"),
    ):
        assert lightning_main.main(words) == 0
        assert part in capsys.readouterr().out
