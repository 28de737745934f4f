"""Limits, intervals and types of the trainer's arguments are judged before anything is imported."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from conf.check import check
from conf.compose import compose
from conf.keys.signatures import library_signature
from conf.keys.values import described, fits
from conf.training import debugging, partly_scored, untrained, unvalidated


def told(folder: Path, *words: str) -> list[str]:
    return [str(problem) for problem in check(compose(words, folder))]


KEYS = ("limit_val_batches", "limit_test_batches", "limit_predict_batches")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", [0, 0.0, 1, 2, 0.5, -1, False, True, "1.0"])
def test_a_limit_on_scoring_is_refused(key: str, value: Any) -> None:
    (problem,) = partly_scored({key: value})
    assert f"trainer.{key}={str(value).lower()} would" in str(problem)
    assert "without a score" in str(problem)


@pytest.mark.parametrize("task", ["fit", "validate", "test", "doctor"])
def test_and_so_by_the_check_of_every_task_that_scores(folder: Path, task: str) -> None:
    assert "without a score" in told(folder, f"task={task}", "+trainer.limit_test_batches=0")[0]


WORKING = (
    "limit_test_batches: 1.0, limit_val_batches: null, fast_dev_run: false, overfit_batches: 0.0, max_steps: -1",
    "fast_dev_run: 0, overfit_batches: 0, check_val_every_n_epoch: 2, val_check_interval: 0.5, min_epochs: null",
    "val_check_interval: 1, max_steps: 1, min_epochs: 2, limit_train_batches: 2, devices: [0], profiler: simple",
    "val_check_interval: null, limit_train_batches: 0.5, devices: auto, gradient_clip_val: 1",
    "val_check_interval: '00:00:10:00', limit_train_batches: 2.0, num_sanity_val_steps: -1, deterministic: warn",
    "check_val_every_n_epoch: null, val_check_interval: 4, max_time: '00:01:00:00', precision: 16-mixed, devices: 2",
)


@pytest.mark.parametrize("settings", WORKING)
def test_what_works_is_let_through(folder: Path, settings: str) -> None:
    node = yaml.safe_load(f"{{_target_: pytorch_lightning.Trainer, max_epochs: 2, {settings}}}")
    (folder / "trainer/auto.yaml").write_text(yaml.safe_dump(node))
    assert told(folder) == []


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"max_epochs": 0}, "trains nothing"),
        ({"max_epochs": -2}, "trains nothing"),
        ({"max_steps": 0}, "trains nothing"),
        ({"limit_train_batches": 0}, "neither a share nor a number"),
        ({"limit_train_batches": 0.0}, "neither a share nor a number"),
        ({"limit_train_batches": False}, "neither a share nor a number"),
        ({"limit_train_batches": -3}, "neither a share nor a number"),
        ({"limit_train_batches": 1.5}, "neither a share nor a number"),
        ({"check_val_every_n_epoch": 0}, "never validates"),
        ({"check_val_every_n_epoch": 3}, "more than trainer.max_epochs=2"),
        ({"check_val_every_n_epoch": None}, "not a number of batches"),
        ({"check_val_every_n_epoch": None, "val_check_interval": 0.5}, "not a number of batches"),
        ({"val_check_interval": 0}, "neither a share of an epoch"),
        ({"val_check_interval": 0.0}, "neither a share of an epoch"),
        ({"val_check_interval": True}, "neither a share of an epoch"),
        ({"val_check_interval": -4}, "neither a share of an epoch"),
        ({"val_check_interval": 2.5}, "neither a share of an epoch"),
        ({"min_epochs": 3}, "more than trainer.max_epochs=2"),
        ({"min_epochs": -1}, "0 or more"),
        ({"min_steps": 9, "max_steps": 8}, "more than trainer.max_steps=8"),
        ({"accumulate_grad_batches": 0}, "1 or more"),
        ({"num_sanity_val_steps": -2}, "-1 or more"),
    ],
)
def test_what_trains_or_validates_nothing_is_refused(settings: dict[str, Any], part: str) -> None:
    trainer = {"max_epochs": 2} | settings
    (problem,) = [*untrained(trainer), *unvalidated(trainer)]
    assert part in str(problem)
    assert any(f"trainer.{key}={'null' if value is None else value}" in str(problem) for key, value in settings.items())


@pytest.mark.parametrize("settings", [{"overfit_batches": 1}, {"overfit_batches": 0.1}, {"fast_dev_run": 3}])
def test_runs_of_a_few_batches_are_for_training_only(settings: dict[str, Any]) -> None:
    (problem,) = partly_scored(settings)
    assert "without a score" in str(problem)
    assert list(partly_scored(settings, training=True)) == []


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({}, None),
        ({"fast_dev_run": False, "overfit_batches": 0.0}, None),
        ({"fast_dev_run": None}, None),
        ({"fast_dev_run": True}, "fast_dev_run"),
        ({"fast_dev_run": 2, "overfit_batches": 0}, "fast_dev_run"),
        ({"overfit_batches": 0.1}, "overfit_batches"),
    ],
)
def test_what_makes_a_debugging_run(settings: dict[str, Any], key: str | None) -> None:
    assert debugging(settings) == key


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("max_epochs=ten", "trainer.max_epochs='ten' is not int or null"),
        ("max_epochs=2.5", "trainer.max_epochs=2.5 is not int or null"),
        ("max_epochs=true", "trainer.max_epochs=True is not int or null"),
        ("max_steps=null", "trainer.max_steps=None is not int"),
        ("limit_train_batches=few", "trainer.limit_train_batches='few' is not int or float or null"),
        ("check_val_every_n_epoch=3", "more than trainer.max_epochs=2"),
        ("barebones=true", "without loggers"),
    ],
)
def test_the_check_refuses_by_type_and_by_value(folder: Path, word: str, part: str) -> None:
    (problem,) = told(folder, f"++trainer.{word}")
    assert part in problem


def test_training_limits_are_no_matter_of_scoring(folder: Path) -> None:
    assert told(folder, "task=test", "+trainer.max_steps=0", "+trainer.limit_train_batches=0") == []


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        ("Optional[int]", "int or null"),
        ("Union[int, float]", "int or float"),
        ("Optional[Union[int, float]]", "int or float or null"),
        ("typing.Optional[int]", "int or null"),
        ("int | None", "int or null"),
    ],
)
def test_annotations_of_either_style_say_the_same(annotation: str, shown: str) -> None:
    assert described(annotation) == shown
    assert fits(3, annotation)
    assert not fits("3", annotation)
    assert fits(None, annotation) == ("null" in shown)


@pytest.mark.parametrize(
    "target", ["torch.optim.AdamW", "pytorch_lightning.Trainer", "torch.optim.lr_scheduler.StepLR"]
)
def test_a_library_signature_is_the_same_read_or_imported(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from conf.keys import signatures

    read = library_signature(target).parameters
    monkeypatch.setattr(signatures, "by_source", lambda _: None)
    imported = library_signature(target).parameters
    assert [(p.name, p.required) for p in read.values()] == [(p.name, p.required) for p in imported.values()]


def test_a_typing_error_is_refused_without_torch(tmp_path: Path) -> None:
    """Also one in an argument of a library's class."""
    words = [
        "trainer.max_epochs=ten",
        "trainer.max_epoch=2",
        "detector.optimizer.lrr=1",
        "trainer.max_epochs=0",
        "experiment_id=e",
    ]
    code = (
        f"import sys; from lightning_main import main; codes = [main([word]) for word in {words}]; "
        "print(codes, [name for name in ('torch', 'pytorch_lightning', 'scipy', 'pandas') if name in sys.modules])"
    )
    house = str(Path(__file__).parents[2])
    lock = tmp_path / "experiments_data/e/config.lock.yaml"
    lock.parent.mkdir(parents=True)
    lock.write_text("{command: [], config: {seed: 1}}")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": house},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[2, 2, 2, 2, 2] []"
