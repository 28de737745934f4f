"""The checker finds every mistake before anything is built."""

from pathlib import Path

import pytest

from conf.check import check
from conf.compose import compose
from conf.keys.verbs import groups_used, verbs


def told(folder: Path, *words: str, thorough: bool = False) -> list[str]:
    return [str(problem) for problem in check(compose(words, folder), thorough)]


def test_nothing_wrong(folder: Path) -> None:
    assert told(folder, "task=doctor", "logger=[csv,tensorboard,wandb]", thorough=True) == []
    assert told(folder, "task=validate") == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["task=vaildate"], ["task=vaildate does not exist", "'validate'"]),
        (["detector.exat=true"], ["detector.exat is not an argument of detectors.npr.detector.NPR", "'exact'"]),
        (["datamodule.batchsize=2"], ["datamodule.batchsize", "'batch_size'"]),
        (["detector.train_view.corp=2"], ["detector.train_view.corp", "contracts.view.View", "'crop'"]),
        (["callbacks.checkpoints.minuts=2"], ["callbacks.checkpoints.minuts", "'minutes'"]),
        (["logger=wandb", "logger.wandb.projct=x"], ["logger.wandb.projct", "'project'"]),
        (["logger.wandb.project=x"], ["logger.wandb is not part", "logger=[csv,wandb]"]),
        (["callbacks.early_stopping.patience=1"], ["not part of callbacks", "callbacks=[default,early_stopping]."]),
        (["callbacks.mine.patience=1"], ["callbacks.mine._target_=module.Name", "early_stopping, ema, explain"]),
        (["metrics.f1.average=macro"], ["not part of metrics", "F1", "metrics.NAME._target_="]),
        (["benchmark.validation_share=much"], ["benchmark.validation_share='much' is not float"]),
        (['detector.exact="False"'], ["detector.exact='False' is not bool"]),
        (["detector.train_view.fill=tiles"], ["detector.train_view.fill='tiles'", "Literal"]),
        (["~detector.train_view"], ["detector.train_view is missing", "detectors.npr.detector.NPR needs it"]),
        (["datamodule=open"], ["datamodule.path is not set", "datamodule.path=VALUE"]),
        (["datamodule.path=/nowhere/at/all"], ["/nowhere/at/all does not exist", "/ contains no nowhere"]),
        (["datamodule.path=/nowhere/*.png"], ["/nowhere/*.png matches nothing"]),
        (["ckpt=/nowhere/best.ckpt"], ["ckpt: /nowhere/best.ckpt does not exist"]),
        (["ckpt=/"], ["ckpt: / is a folder"]),
        (["task=predict"], ["task=predict needs weights", "ckpt=FILE"]),
        (["detector=null"], ["no detector is chosen"]),
        (["detector=null", "detector.exact=true"], ["no detector is chosen"]),
        (["detector._target_=os.system"], ["detector._target_='os.system' is not allowed"]),
        (["detector.optimizer._target_=torch.load"], ["detector.optimizer._target_='torch.load' is not allowed"]),
        (["detector._target_=detectors.npr.detector.NRP"], ["no class or function 'NRP'", "'NPR'"]),
        (["trainer.logger=true"], ["trainer.logger is set by the task itself"]),
        (["experiment_id=a/b"], ["experiment_id='a/b'"]),
        (["experiment_id=.."], ["experiment_id='..'"]),
        (["trainer.max_epoch=2"], ["trainer.max_epoch is not an argument", "'max_epochs'"]),
        (["detector.optimizer.lrr=2"], ["detector.optimizer.lrr is not an argument of torch.optim.AdamW", "'lr'"]),
        (["trainer._target_=pytorch_lightning.Trainer.fit"], ["not allowed"]),
        (["detector.train_view.crop=null"], ["native sizes", "datamodule.batch_size=4"]),
        (["detector.train_view.crop=null", "~datamodule.batch_size"], ["native sizes", "datamodule.batch_size=32"]),
    ],
)
def test_a_mistake_is_found_and_explained(folder: Path, words: list[str], parts: list[str]) -> None:
    problems = told(folder, *words)
    assert len(problems) == 1, problems
    for part in parts:
        assert part in problems[0]


def test_native_sizes_train_one_by_one(folder: Path) -> None:
    assert told(folder, "detector.train_view.crop=null", "datamodule.batch_size=1") == []
    assert told(folder, "task=test", "detector.train_view.crop=null") == []


FUSED = "detector.optimizer.fused=true"
MIXED = "trainer.precision=bf16-mixed"
CLIP = "trainer.gradient_clip_val=1.0"


def test_fused_mixed_and_clipped_are_two_too_many(folder: Path) -> None:
    (problem,) = told(folder, FUSED, MIXED, CLIP)
    assert "cannot be combined" in problem
    for pair in ([FUSED, MIXED], [FUSED, CLIP], [MIXED, CLIP], [FUSED, CLIP, "trainer.precision=32-true"]):
        assert told(folder, *pair) == []
    assert told(folder, "task=test", FUSED, MIXED, CLIP) == []


@pytest.mark.parametrize(
    "word", ["+trainer.fast_dev_run=true", "+trainer.limit_val_batches=2", "+trainer.limit_test_batches=1"]
)
def test_no_image_is_left_without_a_score(folder: Path, word: str) -> None:
    (problem,) = told(folder, "task=test", word)
    assert word.lstrip("+").split("=")[0] in problem
    assert "prepare.limit=64" in problem
    assert len(told(folder, word)) == (0 if "fast" in word else 1)  # training on trial keeps nothing
    assert told(folder, word.split("=")[0] + ("=false" if "fast" in word else "=1.0")) == []


def test_slurm_starts_the_ranks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    (problem,) = told(folder, "trainer.devices=4")
    assert "srun" in problem
    monkeypatch.setenv("SLURM_NTASKS", "8")
    assert told(folder, "trainer.devices=4", "trainer.num_nodes=2") == []
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert told(folder, "trainer.devices=4") == []


def test_a_class_says_which_tasks_it_serves(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from conf import pairs
    from conf.keys.signatures import Signature

    monkeypatch.setattr(pairs, "signature", lambda _: Signature({}, attributes={"serves": ("test", "predict")}))
    problems = told(folder)
    assert len(problems) == 2  # data module and detector
    assert "does not serve task=fit, only test, predict" in problems[0]
    assert told(folder, "task=test") == []


def test_all_problems_are_found_and_libraries_only_behind_our_own(folder: Path) -> None:
    words = ["detector.exat=true", "datamodule=open", "trainer.max_epoch=1"]
    assert len(told(folder, *words)) == 2
    assert len(told(folder, *words, thorough=True)) == 3


def test_a_task_is_not_held_up_by_parts_it_does_not_build(folder: Path, tmp_path: Path) -> None:
    dump = tmp_path / "a.npz"
    dump.touch()
    assert told(folder, "task=review", "datamodule=open", f"review.inputs=[{dump}]") == []
    (problem,) = told(folder, "task=review", f"review.inputs=[{dump}x]")
    assert "review.inputs" in problem
    (problem,) = told(folder, "task=review")
    assert "nothing to review" in problem


GROUPS_OF_FIT = ("datamodule", "detector", "benchmark", "metrics", "trainer", "logger", "callbacks")


def test_tasks_and_what_they_build() -> None:
    known = verbs()
    assert {"fit", "validate", "test", "predict", "review", "doctor"} <= set(known)
    assert all(known.values()), "each verb has a docstring"
    assert not {"run", "many", "report", "evaluate"} & set(known)
    assert set(groups_used("fit")) == set(GROUPS_OF_FIT)
    assert groups_used("review") == []
