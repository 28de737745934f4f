"""Weights and detectors of the two NPR subjects."""

from typing import TypeVar

import torch
from torch import Tensor, nn

from detectors.base import Detector

D = TypeVar("D", bound=Detector)


@torch.no_grad()
def disturb_norms(net: nn.Module, images: Tensor) -> nn.Module:
    """Give batch norms running statistics of the images and weights that are not the identity; sets evaluation mode."""
    for _ in range(10):
        net.train()(images)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.uniform_(0.5, 1.0)
            module.bias.uniform_(-0.1, 0.1)
    return net.eval()


def ready(detector: D, state: dict[str, Tensor]) -> D:
    """The detector with these weights, prepared for evaluation."""
    detector.net.load_state_dict(state)
    detector.eval()
    detector.configure_model()
    return detector
