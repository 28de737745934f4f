"""Which checkpoints are kept, what they hold, and which one a restart takes."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import tiny
import torch

from callbacks.checkpoints import Checkpoints, newest_resumable, resumable
from callbacks.collector import Collector
from callbacks.passport import Passport
from callbacks.validation_metrics import ValidationMetrics
from contracts.errors import ConfigError

PLAIN = (dict, list, tuple, str, int, float, bool, type(None), torch.Tensor)


def fit(folder: Path, resume: Path | None = None, **given: Any) -> L.Trainer:
    """Trains with the callbacks of a task, two batches an epoch."""
    L.seed_everything(1, verbose=False)
    settings = {name: given.pop(name) for name in ("monitor", "mode", "minutes", "keep") if name in given}
    collector = Collector()
    metrics = ValidationMetrics(collector)
    passport = Passport({"_target_": "detectors.npr.detector.NPR"}, metrics, {"seed": 1})
    made = tiny.trainer(collector, metrics, passport, Checkpoints(folder / "kept", **settings), **given)
    made.fit(tiny.Tiny(), datamodule=tiny.data(folder), ckpt_path=resume, weights_only=True)
    return made


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder / "kept"))  # noqa: PTH208 - hidden files too


def test_epochs_end_in_checkpoints_and_the_newest_are_kept(tmp_path: Path) -> None:
    fit(tmp_path, max_epochs=4)
    assert names(tmp_path) == ["best.ckpt", "best.json", "last.ckpt", "step-00000006.ckpt", "step-00000008.ckpt"]
    assert (tmp_path / "kept/last.ckpt").readlink() == Path("step-00000008.ckpt")
    fit(tmp_path, max_epochs=5, keep=1)
    assert names(tmp_path) == ["best.ckpt", "best.json", "last.ckpt", "step-00000010.ckpt"]


def test_wall_time_saves_inside_an_epoch_but_not_at_its_end(tmp_path: Path) -> None:
    fit(tmp_path, minutes=0, keep=9, max_epochs=2)
    assert [file.name for file in resumable(tmp_path / "kept")] == [f"step-{n:08d}.ckpt" for n in (4, 3, 2, 1)]
    inside = torch.load(tmp_path / "kept/step-00000003.ckpt", weights_only=True)
    assert (inside["epoch"], inside["global_step"]) == (1, 3)


def test_nothing_is_saved_while_gradients_accumulate(tmp_path: Path) -> None:
    fit(tmp_path, minutes=0, keep=9, max_epochs=2, accumulate_grad_batches=2)
    assert [file.name for file in resumable(tmp_path / "kept")] == ["step-00000002.ckpt", "step-00000001.ckpt"]


def test_checkpoints_hold_plain_containers_only(tmp_path: Path) -> None:
    def walk(node: Any, place: str) -> None:
        assert type(node) in (*PLAIN, torch.Size) or type(node).__name__ == "OrderedDict", (place, type(node))
        for key, value in node.items() if isinstance(node, dict) else ():
            walk(value, f"{place}.{key}")
        for key, value in enumerate(node) if isinstance(node, list | tuple) else ():
            walk(value, f"{place}.{key}")

    fit(tmp_path)
    best = torch.load(tmp_path / "kept/best.ckpt", weights_only=True)
    last = torch.load(tmp_path / "kept/last.ckpt", weights_only=True)
    walk(best, "best")
    walk(last, "last")
    assert "optimizer_states" in last
    assert "optimizer_states" not in best
    assert best["pixelproof"]["threshold"]["rule"] == "balanced_accuracy"
    assert best["pixelproof"]["seed"] == 1


@pytest.mark.parametrize(("mode", "chosen"), [("max", 1), ("min", 2)])
def test_the_best_is_chosen_by_what_is_monitored(
    mode: str, chosen: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([0.5, 0.9, 0.1, 0.9])

    def said(*_: Any) -> Any:
        return {"val/auroc": next(values)}, None

    monkeypatch.setattr("callbacks.validation_metrics.validation_values", said)
    fit(tmp_path, mode=mode, max_epochs=4)
    note = json.loads((tmp_path / "kept/best.json").read_text())
    assert note["epoch"] == chosen  # of two equal ones the first
    assert torch.load(tmp_path / "kept/best.ckpt", weights_only=True)["epoch"] == chosen


def test_validating_again_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fit(tmp_path)
    before = (tmp_path / "kept/best.ckpt").read_bytes()
    monkeypatch.setattr("callbacks.validation_metrics.validation_values", lambda *_: ({"val/auroc": 2.0}, None))
    made.validate(tiny.Tiny(), datamodule=tiny.data(tmp_path), verbose=False)
    assert (tmp_path / "kept/best.ckpt").read_bytes() == before


def test_a_value_that_nobody_logs_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'val/aurok' was not logged \(logged: .*val/auroc"):
        fit(tmp_path, monitor="val/aurok")


@pytest.mark.parametrize("wrong", [{"mode": "maximum"}, {"keep": 0}])
def test_settings_are_checked(wrong: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Checkpoints(tmp_path, **wrong)


def test_the_candidate_is_ranked_by_step_and_unreadable_ones_are_passed_over(tmp_path: Path) -> None:
    for step in (9, 10, 11, 100):
        torch.save({"epoch": 0, "global_step": step, "state_dict": {}}, tmp_path / f"step-{step:08d}.ckpt")
    for age, file in enumerate(sorted(tmp_path.iterdir())):  # the highest step is the oldest file
        os.utime(file, (1e9 - age, 1e9 - age))
    (tmp_path / "step-1000.ckpt.part").write_bytes(b"")
    (tmp_path / ".step-00000999.ckpt.7.tmp").write_bytes(b"")
    assert newest_resumable(tmp_path) == tmp_path / "step-00000100.ckpt"
    broken = tmp_path / "step-00000100.ckpt"
    broken.write_bytes(broken.read_bytes()[:-50])
    torch.save([1], tmp_path / "step-00000011.ckpt")
    with pytest.warns(UserWarning, match="skipped") as caught:
        assert newest_resumable(tmp_path) == tmp_path / "step-00000010.ckpt"
    skipped = [str(one.message) for one in caught]
    assert ["step-00000100.ckpt" in skipped[0], "step-00000011.ckpt" in skipped[1]] == [True] * 2
    assert newest_resumable(tmp_path / "empty") is None


def test_what_killed_runs_left_half_written_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/.step-00000002.ckpt.123.tmp").write_bytes(b"half")
    (tmp_path / "kept/.last.2").symlink_to("step-00000002.ckpt")
    fit(tmp_path)
    assert not [name for name in names(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize("epochs", [2, 3])
def test_a_run_killed_before_it_changed_the_link_has_it_changed(tmp_path: Path, epochs: int) -> None:
    """Also where no step is left, so that Lightning does not start to train."""
    fit(tmp_path, max_epochs=2)
    kept = tmp_path / "kept"
    for name, target in (("last.ckpt", "step-00000002.ckpt"), (".last.step-00000004", "step-00000004.ckpt")):
        (kept / name).unlink(missing_ok=True)
        (kept / name).symlink_to(target)
    fit(tmp_path, max_epochs=epochs, resume=newest_resumable(kept))
    assert (kept / "last.ckpt").readlink() == Path(f"step-{2 * epochs:08d}.ckpt")
    assert not [name for name in names(tmp_path) if name.startswith(".")]


@pytest.mark.parametrize(
    ("settings", "validated"),
    [
        ({"max_steps": 1}, [1]),
        ({"max_steps": 3}, [2, 3]),
        ({"max_steps": 4}, [2, 4]),
        ({"max_epochs": 3, "check_val_every_n_epoch": 2}, [4, 6]),
        ({"max_epochs": 2, "check_val_every_n_epoch": None, "val_check_interval": 99}, [4]),
        ({"max_epochs": 1, "val_check_interval": "00:01:00:00"}, [2]),
        ({"max_steps": 1, "min_epochs": 2}, [1]),
        ({"max_steps": 1, "accumulate_grad_batches": 2}, [1]),
    ],
)
def test_the_last_weights_are_validated_whatever_ends_training(
    settings: dict[str, Any], validated: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    keep = Checkpoints.keep_if_best

    def noted(self: Checkpoints, trainer: L.Trainer, logged: Any) -> None:
        seen.append(trainer.global_step)
        keep(self, trainer, logged)

    monkeypatch.setattr(Checkpoints, "keep_if_best", noted)
    fit(tmp_path, **settings)
    assert seen == validated
    assert "best.ckpt" in names(tmp_path)
    last = torch.load(tmp_path / "kept/last.ckpt", weights_only=True)
    assert last["callbacks"]["Checkpoints"] == {"validated": validated[-1]}


def test_no_step_that_ends_training_is_saved_before_its_validation(tmp_path: Path) -> None:
    fit(tmp_path, minutes=0, keep=9, max_steps=3)
    state = torch.load(tmp_path / "kept/step-00000003.ckpt", weights_only=True)
    assert state["callbacks"]["Checkpoints"] == {"validated": 3}
