"""A frozen backbone's features instead of images, if a benchmark caches them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from contracts.errors import ConfigError
from contracts.versioned_folder import versioned_folder
from contracts.view import Chain
from datamodules.loading.features import Features
from detectors.base import Detector, FrozenPart

if TYPE_CHECKING:
    import pytorch_lightning as L

LIBRARIES = (
    "numpy", "open_clip_torch", "opencv-python-headless", "pillow", "scipy", "timm", "torch", "torchvision"
)  # fmt: skip
"""Packages on which features depend."""


def precompute(
    root: Path | None, detector: Detector, datamodule: Any, chain: Any, copies: int, trainer: L.Trainer
) -> None:
    """Makes the data module return features of the detector's frozen part.

    Args:
        root: folder of all caches (``benchmark.features``); None returns images.
        detector: a probe.
        datamodule: set to the detector's views.
        chain: the benchmark's degradation: `Chain`, function or None.
        copies: fixed versions of each training image.
        trainer: sets the device and precision of the features.

    Raises:
        ConfigError: no part of the detector is frozen, or training images are random without bound.
    """
    if root is None:
        datamodule.precompute(None)
        return
    if datamodule.pair is not None:
        raise ConfigError(
            "benchmark.features with datamodule.pair, which makes different images in every epoch",
            "Set benchmark.features=null or datamodule.pair=null.",
        )
    part = detector.frozen_part()
    if part is None:
        raise ConfigError(
            f"benchmark.features caches outputs of a frozen backbone, and {type(detector).__name__} has no frozen part",
            "Choose detector=rine, detector=univfd or another probe without detector.augment, or set "
            "benchmark.features=null.",
        )
    refuse_unbounded(detector, chain)
    manifest = datamodule.manifest()
    crops = datamodule.crops_per_image
    settings = {
        **part.settings,
        "chain": chain.settings() if isinstance(chain, Chain) else None,
        "copies": copies,
        "crops": crops,
        "seed": datamodule.seed,
        "decoder": datamodule.decoder,
        "precision": str(trainer.precision),
        "manifest": manifest.fingerprint(),
    }
    folder = versioned_folder(root, settings, LIBRARIES, "benchmark.features")
    extract = partial(_extract, part, detector, trainer)
    datamodule.precompute(Features(folder, extract, len(manifest), copies, crops, part.dim))


def _extract(part: FrozenPart, detector: Detector, trainer: L.Trainer, images: Tensor) -> Tensor:
    """Features of the frozen part on the trainer's device and in its precision."""
    device = trainer.strategy.root_device
    detector.to(device)
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        return part.features(images.to(device)).float().cpu()


def refuse_unbounded(detector: Detector, chain: Any) -> None:
    """Rejects training images with unlimited random versions.

    Raises:
        ConfigError: a step is random at every read.
    """
    view = detector.train_view
    side = chain.side[True] if isinstance(chain, Chain) else None
    reasons = {
        "detector.train_view.flip is above 0": view.flip > 0,
        "detector.train_view.crop_at is random": view.crop is not None
        and view.crop_at == "random"
        and view.crop != side,
        "detector.train_view.augment is random": bool(view.augment),
        "detector.train_view.before_crop is random": bool(view.before_crop),
        "detector.train_view.short_side is random": view.short_side is not None and len(set(view.short_side)) > 1,
        "the benchmark rotates, mirrors or crops at random": isinstance(chain, Chain) and not chain.bounded,
        "the benchmark degrades an image differently at each read": chain is not None and not isinstance(chain, Chain),
    }
    found = [reason for reason, true in reasons.items() if true]
    if found:
        raise ConfigError(
            f"benchmark.features needs a limited number of versions of each training image: {'; '.join(found)}",
            "Use a view without randomness (crop_at=centre, flip=0, no augment and before_crop); with "
            "benchmark=ai_genbench also benchmark.stochastic=false and a train_cropping other than random_crop; or "
            "benchmark.features=null.",
        )
