"""Detectors of filtered images: SAFE and FerretNet at 256², batch 32, against plain eager PyTorch; their front ends.

The baseline of a network is the same network operation by operation, in the default memory order, on the front end's
output for the whole batch. Those of the front ends are PyWavelets (`pip install PyWavelets`; without it the row is
left out) and `scipy.ndimage`, channel by channel, on the same arrays.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from bench.parts.npr import compared, disturb_norms, plain_features, ready, textured
from bench.parts.table import Row, rate
from bench.parts.timing import interleaved, pick
from conf.build import build
from conf.compose import compose
from datamodules.loading.parallel import cores
from detectors.residual.bodies import ShallowResNet
from detectors.residual.detector import Residual
from detectors.residual.haar_detail import diagonal_detail
from detectors.residual.neighbourhood import neighbourhood

SIZE = 256
BATCH = 32
FRONT_ENDS_TARGET = 5.0


def measure() -> list[Row]:
    """Measures images/s of ``detector=safe`` and ``detector=ferretnet``, and of the front ends alone."""
    torch.set_num_threads(cores())
    return [*_detector("safe", _plain_safe), *_detector("ferretnet", _plain_ferretnet), *_front_ends()]


def _detector(name: str, plain: Callable[..., Tensor]) -> list[Row]:
    """Measures images/s of a preset, with weights whose batch norms are not the identity."""
    batch = textured(count := pick(4, BATCH), SIZE)
    torch.manual_seed(0)
    node = compose([f"detector={name}", "datamodule=sample"]).resolved["detector"]
    detectors: list[Residual] = [build(node).eval() for _ in range(2)]
    residual = detectors[0].residual(textured(4, SIZE).images).contiguous()
    state = disturb_norms(detectors[0].net, residual).state_dict()
    detectors[1].net.load_state_dict(state)
    ours, baseline = ready(detectors[0], state), detectors[1]
    ways = {
        "plain": lambda: plain(baseline.net, baseline.residual(batch.images).contiguous()),
        "default": lambda: ours.score(batch).logits,
    }
    return compared("residual", f"{name}, {SIZE}², batch {count}", count, ways, {"default": 3.0})


def _plain_safe(net: ShallowResNet, residual: Tensor) -> Tensor:
    outputs: Tensor = net.fc1(plain_features(net, residual))
    return outputs[:, 1] - outputs[:, 0]


def _plain_ferretnet(net: Any, residual: Tensor) -> Tensor:
    x = residual
    for conv, norm in (net.cbr1, net.cbr2):
        x = torch.relu(norm(conv(x)))
    *stages, last = net.feature
    for block in (block for stage in stages for block in stage):
        pair, first, _, separable, second = block.layers
        skip = block.shortcut[1](block.shortcut[0](x)) if len(block.shortcut) else x
        x = torch.relu(first(pair.conv3(pair.conv1(x) + pair.conv2(x))))
        x = torch.relu(second(separable.point_wise(separable.depth_wise(x))) + skip)
    return net.logit(last(x).mean((2, 3))).squeeze(1)  # type: ignore[no-any-return]


def _front_ends() -> list[Row]:
    """Measures images/s of the median of nine pixels and of the diagonal wavelet detail."""
    images = torch.rand(pick(1, 8), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    array = images.numpy()
    pairs: dict[str, tuple[Callable[[], np.ndarray], Callable[[], Tensor]]] = {
        "median, against scipy.ndimage": (
            lambda: ndimage.median_filter(array, size=(1, 1, 3, 3), mode="constant"),
            lambda: neighbourhood(images, "whole"),
        )
    }
    if find_spec("pywt"):
        transform = import_module("pywt").dwt2
        pairs["dwt_hh, against PyWavelets"] = (
            lambda: transform(array, "bior1.3", mode="symmetric", axes=(-2, -1))[1][2],
            lambda: diagonal_detail(images),
        )
    rows = []
    for name, (theirs, ours) in pairs.items():
        error = float(np.abs(theirs() - ours().numpy()).max())
        if error > 1e-5:
            raise AssertionError(f"{name}: values differ by {error:.1e}")
        timings = interleaved({"baseline": theirs, "ours": ours})
        way, note = f"front end {name}, {SIZE}²", f"values differ by at most {error:.1e}"
        rows.append(rate("residual", way, timings["baseline"], timings["ours"], len(images), FRONT_ENDS_TARGET, note))
    return rows
