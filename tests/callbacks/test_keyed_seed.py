"""What a network draws depends on the place in training, not on what happened before."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
import tiny
import torch

from callbacks.checkpoints import Checkpoints, newest_resumable
from callbacks.collector import Collector
from callbacks.keyed_seed import KeyedSeed
from callbacks.validation_metrics import ValidationMetrics


class Cut(Exception):  # noqa: N818 - nothing went wrong
    """Training is over all at once."""


class Drawn(L.Callback):
    """Notes the first number that could be drawn in each training batch, and cuts training off after some."""

    def __init__(self, steps: int) -> None:
        self.numbers: list[float] = []
        self.steps = steps

    def on_train_batch_start(self, *_: Any) -> None:
        if len(self.numbers) == self.steps:
            raise Cut
        state = torch.get_rng_state()
        self.numbers.append(float(torch.rand(())))
        torch.set_rng_state(state)


def fitted(folder: Path, seed: int = 1, steps: int = -1, resume: bool = False) -> tuple[list[float], torch.Tensor]:
    torch.manual_seed(0)
    detector, drawn, collector = tiny.Tiny(noise=1.0), Drawn(steps), Collector()
    kept = Checkpoints(folder / "kept", minutes=0)
    callbacks = (KeyedSeed(seed), drawn, collector, ValidationMetrics(collector), kept)
    made = tiny.trainer(*callbacks, max_epochs=3)
    if not resume:
        torch.rand(100)  # as if much else had been drawn before
    newest = newest_resumable(folder / "kept") if resume else None
    with suppress(Cut):
        made.fit(detector, datamodule=tiny.data(folder), ckpt_path=newest)
    return drawn.numbers, detector.net.weight.detach().clone()


def test_a_resumed_run_draws_what_an_uninterrupted_one_draws(tmp_path: Path) -> None:
    for name in ("whole", "cut", "other"):
        (tmp_path / name).mkdir()
    numbers, weight = fitted(tmp_path / "whole")
    assert len(set(numbers)) == 6
    first, _ = fitted(tmp_path / "cut", steps=3)
    second, resumed = fitted(tmp_path / "cut", resume=True)
    assert first + second == numbers
    assert torch.equal(resumed, weight)
    assert not set(fitted(tmp_path / "other", seed=2)[0]) & set(numbers)


@pytest.mark.parametrize("rank", [0, 1])
def test_ranks_draw_different_numbers(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.trainer()
    monkeypatch.setattr(L.Trainer, "global_rank", rank)
    KeyedSeed(1).on_train_batch_start(made, tiny.Tiny(), None, 0)  # type: ignore[arg-type]
    mine = float(torch.rand(()))
    monkeypatch.setattr(L.Trainer, "global_rank", 1 - rank)
    KeyedSeed(1).on_train_batch_start(made, tiny.Tiny(), None, 0)  # type: ignore[arg-type]
    assert float(torch.rand(())) != mine
