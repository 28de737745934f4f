"""Images, weights, detectors and the comparison for the subjects that measure NPR's network."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.parts.table import Row, rate
from bench.parts.timing import interleaved
from contracts.batch import Batch
from detectors.base import Detector
from detectors.npr.net import NPRNet

D = TypeVar("D", bound=Detector)
TOLERANCE = 1e-5  # Largest accepted difference of a logit for ways that have a target


def textured(count: int, size: int = 256, seed: int = 0) -> Batch:
    """Smooth uint8 images with noise; every second one is enlarged twofold, as by a generator's last layer."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.integers(0, 256, (count, 3, size // 8, size // 8)).astype(np.float32))
    smooth = F.interpolate(coarse, size=(size, size), mode="bicubic")
    smooth += torch.from_numpy(rng.normal(0, 6, smooth.shape).astype(np.float32))
    smooth[1::2] = F.interpolate(smooth[1::2, :, ::2, ::2], size=(size, size), mode="bilinear")
    smooth += torch.from_numpy(rng.normal(0, 8, smooth.shape).astype(np.float32))
    index = torch.arange(count)
    return Batch(smooth.clamp(0, 255).to(torch.uint8), index % 2, index % 2, index, index, index)


def plain_features(net: NPRNet, scaled: Tensor) -> Tensor:
    """NPR's network before its head [B, 512], nothing folded, nothing in place, in the default memory order."""
    x = torch.relu(net.bn1(net.conv1(scaled)))
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for block in (*net.layer1, *net.layer2):
        skip = x if block.downsample is None else block.downsample[1](block.downsample[0](x))
        x = torch.relu(block.bn1(block.conv1(x)))
        x = torch.relu(block.bn2(block.conv2(x)))
        x = torch.relu(block.bn3(block.conv3(x)) + skip)
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def plain_residual_features(net: NPRNet, images: Tensor) -> Tensor:
    """`plain_features` of normalised images, with the residual computed as the authors do."""
    half = F.interpolate(images, scale_factor=0.5, mode="nearest", recompute_scale_factor=True)
    back = F.interpolate(half, scale_factor=2.0, mode="nearest", recompute_scale_factor=True)
    return plain_features(net, (images - back) * 2.0 / 3.0)


@torch.no_grad()
def disturb_norms(net: nn.Module, images: Tensor) -> nn.Module:
    """Gives batch norms statistics of the images and weights that are not the identity; sets evaluation mode."""
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


@torch.inference_mode()
def compared(
    subject: str, work: str, count: int, ways: Mapping[str, Callable[[], Tensor]], targets: Mapping[str, float | None]
) -> list[Row]:
    """Images/s of ways to compute logits against ``ways["plain"]``, with the largest differences.

    Args:
        subject: name of the subject.
        work: description of the input.
        count: number of images in it.
        ways: functions that return logits.
        targets: target ratio of each way, or None.

    Raises:
        AssertionError: the logits of a way with a target differ by more than `TOLERANCE`.
    """
    expected = ways["plain"]()
    notes = {}
    for name in [name for name in targets if name in ways]:
        logits = ways[name]()
        error = float((logits - expected).abs().max())
        of_scores = float((logits.sigmoid() - expected.sigmoid()).abs().max())
        if targets[name] is not None and error > TOLERANCE:
            raise AssertionError(f"logits of {name} differ by {error:.1e}, more than {TOLERANCE}")
        notes[name] = f"logits differ by at most {error:.1e}, scores by {of_scores:.1e}"
    timings = interleaved(ways)
    return [
        rate(subject, f"{work}, {name}", timings["plain"], timings[name], count, targets[name], note)
        for name, note in notes.items()
    ]
