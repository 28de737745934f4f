"""Candidate class labels of images, by the chosen policy."""

from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from timm.data.config import resolve_model_data_config
from torch import Tensor, nn

from detectors.parts.weights import load_weights
from detectors.tracer.measuring.class_labels import classifier_candidates


class LabelClassifier(nn.Module):
    """An ImageNet classifier of timm for images of any size; resampling is harmless here, since only the class matters.

    Args:
        name: timm model.
        classes: classes of the generators, in the classifier's order.
        weights: file; with None, timm downloads the weights.
        k: candidates per image.
    """

    def __init__(self, name: str, classes: int, weights: Path | None, k: int) -> None:
        super().__init__()
        self.net: nn.Module = timm.create_model(name, pretrained=weights is None, num_classes=classes)
        if weights is not None:
            load_weights(self.net, weights)
        data = resolve_model_data_config(self.net)  # type: ignore[no-untyped-call]  # timm's is unannotated
        self.side = int(data["input_size"][-1])
        self.register_buffer("mean", torch.tensor(data["mean"])[:, None, None])
        self.register_buffer("std", torch.tensor(data["std"])[:, None, None])
        self.k = k
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, 3, H, W] in [0, 1] → labels int64 [B, K] and their log-probabilities [B, K]."""
        x = F.interpolate(images, size=(self.side, self.side), mode="bilinear", antialias=True)
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        return classifier_candidates(self.net((x - mean) / std), self.k)
