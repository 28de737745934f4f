"""What Lightning refuses is told before any work: by the task that would meet it, and by the doctor."""

from pathlib import Path

import pytest

from conf.compose import compose
from contracts.errors import ConfigError
from tasks.checking.trial import refuse_trainer, trainer_problems

CALLBACK = "callbacks.mine._target_=pytorch_lightning.callbacks"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["trainer=gpu"], ["trainer.accelerator=gpu", "trainer=cpu"]),
        (["trainer.accelerator=gpuu"], ["trainer.accelerator=gpuu", "cuda"]),
        (["trainer=cpu", "trainer.devices=0"], ["trainer.devices=0"]),
        (["trainer=cpu", "trainer.precision=fp16"], ["trainer.precision=fp16", "16-mixed"]),
        (["trainer=cpu", "trainer.strategy=ddpp"], ["trainer.strategy=ddpp"]),
        (["trainer=cpu", "trainer.max_time=soon"], ["soon", "DD:HH:MM:SS"]),
        (["trainer=cpu", "trainer.max_time=00:00:00:00"], ["trainer.max_time=00:00:00:00 trains nothing"]),
        (["trainer=cpu", "trainer.profiler=fast"], ["trainer.profiler=fast", "simple"]),
        (
            ["trainer=cpu", f"{CALLBACK}.ModelCheckpoint"],
            ["callbacks.mine is a ModelCheckpoint", "Remove callbacks.mine"],
        ),
        (["trainer=cpu", f"{CALLBACK}.EarlyStopping", "callbacks.mine.mode=up"], ["mode"]),
        (
            ["trainer=cpu", "callbacks.mine._target_=callbacks.checkpoints.Checkpoints"],
            ["more than one stateful callback"],
        ),
    ],
)  # fmt: skip
def test_it_is_refused_and_named(words: list[str], parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("pytorch_lightning.accelerators.CUDAAccelerator.is_available", staticmethod(lambda: False))
    monkeypatch.setattr("pytorch_lightning.accelerators.MPSAccelerator.is_available", staticmethod(lambda: False))
    composed = compose(words)
    with pytest.raises(ConfigError) as told:
        refuse_trainer(composed)
    assert [part for part in parts if part not in str(told.value)] == []
    assert [str(problem) for problem in trainer_problems(composed)] == [str(told.value)]


def test_more_cards_than_there_are_is_refused_where_it_runs_and_not_where_it_is_launched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pytorch_lightning.accelerators.CUDAAccelerator.is_available", staticmethod(lambda: False))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    composed = compose(["trainer.accelerator=gpu", "trainer.devices=2", "launcher=slurm"])
    assert trainer_problems(composed) == []
    with pytest.raises(ConfigError, match=r"trainer\.devices=2"):
        refuse_trainer(composed)


@pytest.mark.parametrize(
    "words",
    [
        ["callbacks=early_stopping"],
        ["callbacks=[default,early_stopping]", "callbacks.early_stopping.patience=1"],
        ["callbacks=[default,explain,early_stopping]"],
        [f"{CALLBACK}.TQDMProgressBar"],
        [f"{CALLBACK}.EarlyStopping"],
        ["trainer.devices=2"],
        ["trainer.devices=2", "trainer.strategy=ddp"],
        ["trainer.precision=16-mixed", "trainer.max_time=00:01:00:00"],
    ],
)
def test_what_works_is_let_through_and_nothing_is_left_behind(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refuse_trainer(compose(["trainer=cpu", *words]))
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr() == ("", "")


def test_tasks_without_a_trainer_are_left_alone() -> None:
    refuse_trainer(compose(["task=review", "trainer=gpu", "trainer.precision=fp16"]))
