"""Batch normalisation folded into the convolution before it.

In evaluation a batch norm is a fixed scale and shift of each channel, so it can be applied once to the weights instead
of to every pixel. It is folded in every forward pass, so that no copy of the weights can be stale after a step, a load
or an exchange of weights. Folding takes 7 % of the NPR net's time on slices of four images of 256x256, so a `Scorer`,
whose weights do not change while it scores, folds once (`folded_once`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Folded = tuple[Tensor, Tensor]
Key = tuple[nn.Conv2d, nn.BatchNorm2d, torch.device]
_kept: ContextVar[dict[Key, Folded] | None] = ContextVar("kept", default=None)


@contextmanager
def folded_once() -> Iterator[None]:
    """Within this context each batch norm is folded only in the first forward pass; weights must not change.

    A context within another one shares its folded weights.
    """
    outer = _kept.get()
    token = _kept.set({} if outer is None else outer)
    try:
        yield
    finally:
        _kept.reset(token)


def conv_bn(x: Tensor, conv: nn.Conv2d, bn: nn.BatchNorm2d, fold: bool) -> Tensor:
    """``bn(conv(x))``; as one convolution if ``fold`` is set and the batch norm is in evaluation mode.

    Args:
        x: [B, C, H, W].
        conv: convolution with zero padding.
        bn: the convolution's batch norm, with running statistics.
        fold: whether the two may be merged (equal up to float rounding).
    """
    if not fold or bn.training or bn.running_mean is None or bn.running_var is None:
        return bn(conv(x))  # type: ignore[no-any-return]
    weight, bias = _folded(conv, bn)
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _folded(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> Folded:
    # a compiled or exported graph holds the computation; tensors of inference mode are of no use to a gradient
    kept = None if torch.compiler.is_compiling() or not torch.is_inference_mode_enabled() else _kept.get()
    if kept is None:
        return _fold(conv, bn)
    key = conv, bn, conv.weight.device
    if key not in kept:
        kept[key] = _fold(conv, bn)
    return kept[key]


def _fold(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> Folded:
    mean, variance = cast(Tensor, bn.running_mean), cast(Tensor, bn.running_var)
    scale = bn.weight * torch.rsqrt(variance + bn.eps)
    shift = mean if conv.bias is None else mean - conv.bias
    return conv.weight * scale.view(-1, 1, 1, 1), bn.bias - shift * scale


class Shortcut(nn.ModuleList):
    """1x1 convolution and batch norm beside a residual block's body; keys ``0.*`` and ``1.*`` as in torchvision.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: stride of the convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__([nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)])

    def forward(self, x: Tensor, fold: bool) -> Tensor:
        """[B, inputs, H, W] → [B, outputs, H / stride, W / stride]."""
        return conv_bn(x, cast(nn.Conv2d, self[0]), cast(nn.BatchNorm2d, self[1]), fold)
