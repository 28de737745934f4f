"""Training steps of multi-scale NPR and of a ViT-S, tuned and probed: batch 32 of 224², against plain eager float32.

The baselines receive normalised images; ours receive uint8 and normalise them within the step. The probe's baseline
runs the frozen backbone in every step; ours reads cached features (``benchmark.features``).
"""

import tempfile
from functools import partial
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.detectors.npr_multiscale import SCALES, plain_logits
from bench.parts.npr import textured
from bench.parts.steps import compared, ours, step
from bench.parts.table import Row
from bench.parts.timing import pick
from contracts.batch import Batch
from contracts.view import View
from datamodules.loading.parallel import cores
from detectors.classifier.detector import Classifier
from detectors.npr.multiscale import NPRMultiScale
from detectors.parts.normalise import normalise

SIZE = 224
BATCH = 32
VIT = "vit_small_patch16_224"
ADAMW = partial(torch.optim.AdamW, lr=1e-5)
TARGETS = {"default": 1.8, "precision=bf16-mixed": None}


def measure() -> list[Row]:
    """Measures images/s of each way."""
    torch.set_num_threads(cores())
    batch = textured(pick(4, BATCH), SIZE)
    with tempfile.TemporaryDirectory() as name:
        weights = Path(name) / "backbone.pth"
        torch.manual_seed(0)
        torch.save(timm.create_model(VIT, num_classes=0).state_dict(), weights)
        return [*_multiscale(batch), *_tuned(batch, weights), *_probed(batch, weights)]


def _cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, batch.label.float())


def _multiscale(batch: Batch) -> list[Row]:
    def make(channels_last: bool = True) -> NPRMultiScale:
        view = View(resize=256, crop=SIZE)
        return NPRMultiScale(
            view, view, SCALES, dropout=0.0, channels_last=channels_last, optimizer=partial(torch.optim.Adam, lr=2e-4)
        )

    plain, images = make(channels_last=False), normalise(batch.images).contiguous()
    state = {name: tensor.clone() for name, tensor in plain.net.state_dict().items()}
    ways = {
        "plain": step(
            lambda: _cross_entropy(plain_logits(plain.net, images), batch), plain.train().configure_optimizers()
        ),
        "default": ours(make(), state, batch),
        "precision=bf16-mixed": ours(make(), state, batch, bf16=True),
    }
    work = f"npr_multiscale, {len(SCALES)} scales, {SIZE}², batch {len(images)}"
    return compared("training_steps", work, len(images), ways, TARGETS, 1e-3)


def _tuned(batch: Batch, weights: Path) -> list[Row]:
    def make() -> Classifier:
        return Classifier(f"timm/{VIT}", weights=weights, optimizer=ADAMW)

    plain = make()
    images = normalise(batch.images, plain.mean, plain.std).contiguous()
    state = {name: tensor.clone() for name, tensor in plain.net.state_dict().items()}
    ways = {
        "plain": step(lambda: _cross_entropy(plain.net(images), batch), ADAMW(plain.net.train().parameters())),
        "default": ours(make(), state, batch),
        "precision=bf16-mixed": ours(make(), state, batch, bf16=True),
    }
    return compared("training_steps", f"ViT-S tuned, batch {len(images)}", len(images), ways, TARGETS, 1e-3)


def _probed(batch: Batch, weights: Path) -> list[Row]:
    def make() -> Classifier:
        return Classifier(f"timm/{VIT}", mode="probe", weights=weights, optimizer=ADAMW)

    plain, probe = make(), make()
    images = normalise(batch.images, plain.mean, plain.std).contiguous()
    state = {name: tensor.clone() for name, tensor in plain.net.state_dict().items()}
    with torch.no_grad():
        kept = batch._replace(images=plain.net.features(images))
    ways = {
        "plain": step(lambda: _cross_entropy(plain.net(images), batch), ADAMW(plain.net.train().head.parameters())),
        "features kept": ours(probe, state, kept),
    }
    work = f"ViT-S probed, batch {len(images)}"
    return compared("training_steps", work, len(images), ways, {"features kept": 50.0}, 1e-3)
