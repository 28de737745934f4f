"""What is said of a word that cannot be used can be pasted, and works."""

import re
import shlex
from typing import Any

import pytest
import yaml

from conf.check import check
from conf.compose import compose
from contracts.errors import ConfigError


def told(*words: str) -> str:
    try:
        problems = check(compose(words))
    except ConfigError as error:
        return str(error)
    return str(problems[0]) if problems else ""


def at(words: list[str], key: str) -> Any:
    node: Any = compose(words).resolved
    for name in key.split("."):
        node = node[name]
    return node


HARD = [
    "a#b", "it's", "a&b", "a;b", "~/x~", "ünï", 'say "hi"', "epoch=1-step=2.ckpt", "a(1).png", "x[0]", "{a}", "a:b,c=d",
    "both ' and \"", "back\\slash ü", "emoji 🎉", "100% #1", "<x>", "a!b", "`x`", "^x",
]  # fmt: skip


@pytest.mark.parametrize("key", ["datamodule.path", "ckpt"])
@pytest.mark.parametrize("text", HARD)
def test_a_hard_text_is_answered_by_words_to_paste(key: str, text: str) -> None:
    said = told(f"{key}={text}")
    if "Quote it" not in said and "quote a text" not in said:
        assert at([f"{key}={text}"], key) == text  # it was read; something else is wrong with it
        return
    shell, in_yaml = re.findall(r"In a shell: (.*)   In a YAML file: (.*)", said)[0]
    assert at(shlex.split(shell), key) == text
    assert yaml.safe_load(in_yaml) == {key.rpartition(".")[2]: text}


@pytest.mark.parametrize("text", ["a,b", "ü,b", "12345_2,x"])
def test_several_values_have_three_ways_out(text: str) -> None:
    said = told(f"datamodule.path={text}")
    for part in ("-m", "list", f"datamodule.path='{text}'".replace("'", '"') if "ü" not in text else "ü"):
        assert part in said or "Quote it" in said
    shell = re.findall(r"In a shell: (.*?)   In", said)[0]
    assert at(shlex.split(shell), "datamodule.path") == text


@pytest.mark.parametrize(
    ("words", "steps"),
    [
        (["task=predict", "ckpt=C", "pic.png"], ["datamodule=folder datamodule.path=pic.png"]),
        (["task=predict", "ckpt=C", "my pics/*.jpg"], ["datamodule=folder 'datamodule.path="]),
        (["task=train"], ["task=fit"]),
        (["train"], ["task=fit"]),
        (["fit"], ["task=fit"]),
        (["task=evaluate"], ["task=test"]),
        (["lr=0.1"], ["detector.optimizer.lr=0.1"]),
        (["lr=1e-4"], ["detector.optimizer.lr=1e-4"]),
        (["learning_rate=0.1"], ["detector.optimizer.lr=0.1"]),
        (["model=npr"], ["detector=npr"]),
        (["model=resnet50"], ["detector=NAME", "classifier"]),
        (["data=sample"], ["datamodule=sample"]),
        (["data=/data/x"], ["datamodule.path=/data/x"]),
        (["dataset=genimage"], ["datamodule=genimage"]),
        (["epochs=3"], ["trainer.max_epochs=3"]),
        (["batch_size=4"], ["datamodule.batch_size=4"]),
        (["weights=a.pth"], ["ckpt=a.pth"]),
        (["name=12345_2"], ["experiment_id=12345_2"]),
        (["--lr=0.1"], ["detector.optimizer.lr=0.1"]),
        (["--epochs", "trainer=cpu"], ["trainer.max_epochs=VALUE"]),
        (["best.ckpt"], ["ckpt=best.ckpt"]),
        (["run.npz"], ["review.inputs=[run.npz]"]),
        (["demo.yaml"], ["demo.yaml=VALUE"]),
        (["callbacks.early_stopping.patience=3"], ["callbacks=[default,early_stopping]"]),
        (["callbacks.lr_monitor.x=3"], ["callbacks=[default,lr_monitor]"]),
        (["callbacks.device_stats.x=3"], ["callbacks.device_stats._target_="]),
        (["callbacks.explain.images=3"], ["callbacks=[default,explain]"]),
        (["logger.wandb.tags=[a]"], ["logger=[csv,wandb]"]),
        (["metrics=[f1]"], ["F1", "metrics.NAME._target_="]),
    ],
)
def test_what_newcomers_type_is_answered_by_what_works(words: list[str], steps: list[str]) -> None:
    said = told(*words)
    for step in steps:
        assert step in said


def test_the_answers_work_when_they_are_followed() -> None:
    stopping = ["callbacks.early_stopping._target_=pytorch_lightning.callbacks.EarlyStopping"]
    stopping += ["callbacks.early_stopping.monitor=val/loss"]
    for words in (["callbacks=[default,explain]", "callbacks.explain.images=3"], stopping):
        assert [str(each) for each in check(compose(words))] == []
