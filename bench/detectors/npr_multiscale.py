"""Multi-scale NPR evaluation at 256², batch 32, three scales, against the plain loop over its branches.

The baseline is a straightforward implementation of the extension: for each scale nearest down- and up-sampling,
convolution, batch norm, activation, in the default memory order.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.parts.npr import compared, disturb_norms, ready
from bench.parts.table import Row
from bench.parts.timing import pick
from contracts.batch import Batch
from contracts.view import View
from datamodules.loading.parallel import cores
from detectors.npr.multiscale import NPRMultiScale
from detectors.npr.multiscale_net import MultiScaleNet
from detectors.parts.normalise import normalise

SIZE = 256
BATCH = 32
SCALES = (0.25, 0.5, 0.75)
TARGETS = {"default (folded, channels last)": 2.0, "compile=true": 3.0}


def measure() -> list[Row]:
    """Measures images/s of the default and of ``compile=true``, with the largest difference of their logits."""
    torch.set_num_threads(cores())
    count = pick(2, BATCH)
    images = torch.randint(
        0, 256, (count, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    index = torch.arange(count)
    batch = Batch(images, index % 2, index, index, index, index)
    state = _weights()
    plain = _detector(state, channels_last=False, compile_net=False).net
    ours, compiled = _detector(state), _detector(state, compile_net=True)
    ways: dict[str, Callable[[], Tensor]] = {
        "plain": lambda: plain_logits(plain, normalise(images)),
        "default (folded, channels last)": lambda: ours.score(batch).logits,
        "compile=true": lambda: compiled.score(batch).logits,
    }
    if pick(True, False):
        del ways["compile=true"]  # compiling takes minutes
    return compared("npr_multiscale", f"{len(SCALES)} scales, {SIZE}², batch {count}", count, ways, TARGETS)


def _detector(state: dict[str, Tensor], compile_net: bool = False, channels_last: bool = True) -> NPRMultiScale:
    view = View(resize=SIZE)
    return ready(NPRMultiScale(view, view, scales=SCALES, compile=compile_net, channels_last=channels_last), state)


def _weights() -> dict[str, Tensor]:
    """Weights with batch norms that are not the identity and logits near 0, where a score changes most."""
    torch.manual_seed(0)
    view = View(resize=SIZE)
    net = NPRMultiScale(view, view, scales=SCALES).net
    images = normalise(torch.randint(0, 256, (4, 3, 64, 64), dtype=torch.uint8))
    disturb_norms(net, images)
    with torch.no_grad():
        net.classifier.bias.zero_()
        net.classifier.weight.mul_(1 / net(images).logits.abs().max())
    return net.state_dict()


def plain_logits(net: MultiScaleNet, images: Tensor) -> Tensor:
    """The network operation by operation: a loop over scales, nothing folded, nothing in place."""
    features = []
    branches: list[Any] = list(net.feature_branches)
    for scale, branch in zip(SCALES, branches, strict=True):
        small = F.interpolate(images, scale_factor=scale, mode="nearest", recompute_scale_factor=True)
        residual = images - F.interpolate(small, size=images.shape[-2:], mode="nearest")
        x = torch.relu(branch.bn1(branch.conv1(residual * (2.0 / 3.0))))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for block in (*branch.layer1, *branch.layer2):
            skip = x if block.downsample is None else block.downsample[1](block.downsample[0](x))
            x = torch.relu(block.bn1(block.conv1(x)))
            x = torch.relu(block.bn2(block.conv2(x)) + skip)
        features.append(branch.feature_proj(F.adaptive_avg_pool2d(x, 1).flatten(1)))
    return net.fuse(torch.stack(features, dim=1)).logits
