"""FerretNet's network: depthwise-separable blocks with a dilated pair of convolutions, 1.06 million parameters.

Liang et al., NeurIPS 2025 (arXiv 2509.20890); state-dict keys are those of the released weights (89 entries).
"""

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from detectors.npr.fold import conv_bn
from detectors.parts.precision import linear_float32, row_by_row
from detectors.parts.slices import in_slices

STEM_PIXELS = 256 * 256  # Pixels that pass the stem together on a CPU: its first layer's output is the largest of all


class DilatedPair(nn.Module):
    """The sum of a 3x3 depthwise convolution and the same with dilation 2, then a 1x1 convolution.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: stride of the pair.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, groups=inputs, bias=False)
        self.conv2 = nn.Conv2d(inputs, outputs, 3, stride, 2, dilation=2, groups=inputs, bias=False)
        self.conv3 = nn.Conv2d(outputs, outputs, 1, bias=False)

    def forward(self, x: Tensor, fold: bool) -> Tensor:
        """[B, inputs, H, W] → [B, outputs, H / stride, W / stride], before the 1x1 convolution.

        With ``fold``, in evaluation, both are one 5x5 convolution, which reads and writes every pixel once.
        """
        if not fold or self.training:
            return self.conv1(x) + self.conv2(x)  # type: ignore[no-any-return]
        weight = F.pad(self.conv1.weight, (1, 1, 1, 1))
        weight[..., ::2, ::2] += self.conv2.weight
        return F.conv2d(x, weight, None, self.conv1.stride, 2, 1, self.conv1.groups)


class Separable(nn.Module):
    """A 3x3 depthwise and a 1x1 convolution.

    Args:
        channels: number of channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depth_wise = nn.Conv2d(channels, channels, 3, 1, 1, groups=channels, bias=False)
        self.point_wise = nn.Conv2d(channels, channels, 1, bias=False)


class Block(nn.Module):
    """Residual block of a dilated pair and a separable convolution.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: stride of the dilated pair and the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        pair, separable = DilatedPair(inputs, outputs, stride), Separable(outputs)
        self.layers = nn.ModuleList([pair, nn.BatchNorm2d(outputs), nn.ReLU(), separable, nn.BatchNorm2d(outputs)])
        same = stride == 1 and inputs == outputs
        shortcut = [nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)]
        self.shortcut = nn.ModuleList([] if same else shortcut)

    def forward(self, x: Tensor, fold: bool) -> Tensor:
        """[B, inputs, H, W] → [B, outputs, H / stride, W / stride]."""
        pair, first, _, separable, second = self.layers
        pair, separable = cast(DilatedPair, pair), cast(Separable, separable)
        skip = _conv_bn(x, self.shortcut[0], self.shortcut[1], fold) if len(self.shortcut) else x
        x = _conv_bn(pair(x, fold), pair.conv3, first, fold, relu=True)
        x = _conv_bn(separable.depth_wise(x), separable.point_wise, second, fold)
        return F.relu(x + skip if self.training else x.add_(skip), inplace=True)


class FerretNet(nn.Module):
    """Residual → logit that the image is generated.

    Args:
        inputs: channels of the residual.
        width: channels after the stem; 96 as published ("B"), 32 for the small model ("S").
        dropout: dropout probability of the features, before the last layer.
        exact: the original's arithmetic, without folded batch norms.
    """

    def __init__(self, inputs: int = 3, width: int = 96, dropout: float = 0.2, exact: bool = False) -> None:
        super().__init__()
        self.exact = exact
        self.cbr1 = nn.ModuleList([nn.Conv2d(inputs, width // 2, 3, 1, 1, bias=False), nn.BatchNorm2d(width // 2)])
        self.cbr2 = nn.ModuleList([nn.Conv2d(width // 2, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)])
        stages = [nn.ModuleList([Block(w, 2 * w, 2), Block(2 * w, 2 * w, 1)]) for w in (width, 2 * width)]
        self.feature = nn.ModuleList([*stages, nn.Conv2d(4 * width, 4 * width, 1, bias=False)])
        self.logit = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * width, 1))

    def forward(self, residual: Tensor) -> Tensor:
        """[B, inputs, H, W] → logits [B] float32."""
        fold, merged = not self.exact, not self.exact and not self.training
        x = in_slices(self.stem, residual, STEM_PIXELS) if merged else self.stem(residual)
        *stages, last = self.feature
        for block in (block for stage in stages for block in cast(nn.ModuleList, stage)):
            x = block(x, fold)
        if merged:  # the last convolution is linear, so the mean may come first, which spares all positions but one
            weight = cast(nn.Conv2d, last).weight.flatten(1)
            features = row_by_row(lambda means: F.linear(means, weight.to(means.dtype)), x.mean((2, 3)))
        else:
            features = last(x).mean((2, 3))
        return linear_float32(self.logit[0](features), cast(nn.Linear, self.logit[1])).squeeze(1)

    def stem(self, residual: Tensor) -> Tensor:
        """[B, inputs, H, W] → [B, width, H / 2, W / 2]."""
        x = residual
        for part in (self.cbr1, self.cbr2):
            x = _conv_bn(x, part[0], part[1], not self.exact, relu=True)
        return x


def _conv_bn(x: Tensor, conv: nn.Module, bn: nn.Module, fold: bool, relu: bool = False) -> Tensor:
    return conv_bn(x, cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, bn), fold, relu)
