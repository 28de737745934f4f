"""Every detector in a real trainer: mixed precision, accumulation, clipping, schedules, scores afterwards."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import pytorch_lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.view import View
from detectors.base import Detector, Scores
from detectors.classifier.detector import Classifier
from detectors.classifier.device_augment import DeviceAugment
from detectors.npr.detector import NPR
from detectors.npr.multiscale import NPRMultiScale
from detectors.parts.training.schedules import NPRDecay, OneCycle
from detectors.residual.detector import Residual

VIEW = View(resize=32)
ADAM = partial(torch.optim.Adam, lr=1e-3)
MAKE: dict[str, Callable[[], Detector]] = {
    "npr": lambda: NPR(VIEW, VIEW, optimizer=ADAM, scheduler=NPRDecay, scheduler_interval="epoch"),
    "npr_multiscale": lambda: NPRMultiScale(VIEW, VIEW, scales=(0.5, 0.3), optimizer=ADAM, entropy_weight=-0.01),
    "safe": lambda: Residual(VIEW, VIEW, "dwt_hh", "safe", normalisation="unit", optimizer=ADAM),
    "ferretnet": lambda: Residual(VIEW, VIEW, "median", "ferretnet", body_options={"width": 8}, optimizer=ADAM),
    "tiny_ladeda": lambda: Residual(VIEW, VIEW, "gradient", "tiny_ladeda", optimizer=ADAM),
    "freqnet": lambda: Residual(VIEW, VIEW, "fft_high_pass", "freqnet", optimizer=ADAM),
    "classifier": lambda: Classifier(
        "timm/test_resnet",
        pretrained=False,
        image_size=32,
        label_smoothing=0.1,
        augment=DeviceAugment(10, 0.2, 0.2, 0.5, 0.5, use_crop=True),
        optimizer=ADAM,
        scheduler=OneCycle,
        scheduler_steps="total_steps",
    ),
}


class _Keep(L.Callback):
    def __init__(self) -> None:
        self.scores: list[Scores] = []

    def on_validation_batch_end(self, _trainer: Any, _module: Any, outputs: Any, *_: Any) -> None:
        self.scores.append(outputs)


def _loader() -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
    rows = torch.arange(8)

    def collate(chosen: list[int]) -> Batch:
        i = torch.tensor(chosen)
        return Batch(images[i], i % 2, i, i, torch.arange(len(i)), i * 7919)

    return DataLoader(rows.tolist(), batch_size=4, collate_fn=collate)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", MAKE)
@pytest.mark.filterwarnings("ignore")
def test_a_detector_trains_and_scores(name: str, precision: Any) -> None:
    torch.manual_seed(0)
    detector, keep = MAKE[name](), _Keep()
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        precision=precision,
        max_epochs=2,
        accumulate_grad_batches=2,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        callbacks=[keep],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(detector, _loader(), _loader())
    assert trainer.global_step == 2
    changed = [key for key, value in detector.state_dict().items() if not torch.equal(value, before[key])]
    assert {key for key, value in detector.named_parameters() if value.ndim > 1} <= set(changed)
    assert torch.isfinite(trainer.callback_metrics["train/loss"])
    values: list[Tensor] = [tensor for s in keep.scores for tensor in (s.logits, *s.extras.values())]
    assert sum(len(s.logits) for s in keep.scores) == 16
    assert all(v.dtype == torch.float32 and torch.isfinite(v).all() for v in values)


@pytest.mark.parametrize("key", ["optimizer", "scheduler"])
def test_what_cannot_make_an_optimizer_is_refused_before_the_training(key: str) -> None:
    given: dict[str, Any] = {key: "_target_:torch.optim.Adam"}
    with pytest.raises(ConfigError, match=f"detector.{key}='_target_:torch.optim.Adam' is not a partial") as caught:
        NPR(VIEW, VIEW, **given)
    assert "in quotes" in caught.value.step
