from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.view import View
from detectors.base import Detector, Scores
from detectors.parts.training.tuning import steepest, tune


class _Line(Detector):
    """Logistic regression on the mean grey."""

    def __init__(self, optimizer: Any, limit: int = 10**9) -> None:
        super().__init__(View(), View(), optimizer, partial(torch.optim.lr_scheduler.ConstantLR), channels_last=False)
        self.net = nn.Linear(3, 1)
        self.limit = limit
        self.sizes: list[int] = []

    def loss(self, batch: Batch) -> Tensor:
        self.sizes.append(len(batch.images))
        if len(batch.images) > self.limit:
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return nn.functional.binary_cross_entropy_with_logits(self.score(batch).logits, batch.label.float())

    def score(self, batch: Batch) -> Scores:
        return Scores(self.net(batch.images.float().mean((2, 3)) / 255).squeeze(1))


class _Data(L.LightningDataModule):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.batch_size = 4
        self.count = count

    def train_dataloader(self) -> DataLoader[Any]:
        label = torch.arange(self.count) % 2
        images = (label.view(-1, 1, 1, 1) * 200).expand(-1, 3, 4, 4).to(torch.uint8)
        rows = [Batch(images[i], *[label[i]] * 5) for i in range(self.count)]
        return DataLoader(rows, self.batch_size, collate_fn=lambda b: Batch(*map(torch.stack, zip(*b, strict=True))))


def _trainer() -> L.Trainer:
    return L.Trainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False, max_epochs=1)


@pytest.mark.filterwarnings("ignore::pytorch_lightning.utilities.warnings.PossibleUserWarning", "ignore::UserWarning")
def test_tuning_finds_both_and_leaves_everything_as_it_was() -> None:
    torch.manual_seed(0)
    detector, data = _Line(partial(torch.optim.SGD, lr=5e-3, momentum=0.9), limit=20), _Data(400)
    weights = {key: value.clone() for key, value in detector.state_dict().items()}
    scheduler, random = detector.make_scheduler, torch.get_rng_state()
    found = tune(_trainer(), detector, data, lr=True, batch_size=True, steps=60)
    assert found["batch_size"] == data.batch_size == 16
    assert sorted(set(detector.sizes)) == [2, 4, 8, 16, 32]
    assert found["lr"] == detector.learning_rate
    assert 1e-4 < found["lr"] < 1
    assert detector.make_optimizer is not None
    group = detector.make_optimizer(detector.parameters()).param_groups[0]
    assert (group["lr"], group["momentum"]) == (found["lr"], 0.9)
    assert all(torch.equal(value, weights[key]) for key, value in detector.state_dict().items())
    assert detector.make_scheduler is scheduler
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in detector.parameters())


@pytest.mark.filterwarnings("ignore::pytorch_lightning.utilities.warnings.PossibleUserWarning", "ignore::UserWarning")
def test_batches_leave_enough_steps_in_an_epoch() -> None:
    data = _Data(70)
    assert tune(_trainer(), _Line(partial(torch.optim.SGD, lr=1e-3)), data, batch_size=True) == {"batch_size": 8}
    assert data.batch_size == 8


def test_steepest_descent_of_a_known_curve() -> None:
    rates = [10 ** (-7 + 7 * i / 99) for i in range(100)]
    losses = [0.7 if rate < 1e-3 else 0.3 if rate < 1e-1 else 5.0 for rate in rates]
    assert 1e-3 <= steepest(rates, losses) < 1e-1
    with pytest.raises(ConfigError, match="usable losses"):
        steepest(rates, [float("nan")] * 100)


def test_several_devices_and_missing_rates_are_refused() -> None:
    with pytest.raises(ConfigError, match="tune on 2 devices"):
        tune(SimpleNamespace(world_size=2), _Line(None), _Data(8), lr=True)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"detector\.optimizer\.lr"):
        tune(_trainer(), _Line(None), _Data(8), lr=True)
