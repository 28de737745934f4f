"""LaDeDa and Tiny-LaDeDa: a logit for every small patch of an image, and their mean for the image.

Cavia et al., "Real-Time Deepfake Detection in the Real-World", 2024 (arXiv 2406.09398). Nothing is padded, so a unit
of the map sees a patch and nothing else: 9x9 pixels every 8 (LaDeDa), 5x5 every 2 (Tiny). State-dict keys are those of
the released weights. The authors' pooling takes the height for the width; here images of any shape are averaged.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from detectors.npr.fold import conv_bn
from detectors.npr.net import Bottleneck, initialise
from detectors.parts.precision import linear_float32, many_float32


class PatchNet(nn.Module):
    """Stem of a 1x1 and a 3x3 convolution without padding; a linear unit at every position, whose mean is the logit.

    Args:
        inputs: channels of the residual.
        width: channels of the stem.
        momentum: momentum of the stem's batch norm.
        stages: residual blocks, ``layer1``, ``layer2``, ….
        features: channels of the last stage.
        exact: the original's arithmetic, without folded batch norms.
    """

    patch: int  # side in pixels of what a unit of the map sees in the front end's output
    step: int  # pixels from one patch to the next

    def __init__(
        self,
        inputs: int,
        width: int,
        momentum: float,
        stages: Sequence[Sequence[nn.Module]],
        features: int,
        exact: bool,
    ) -> None:
        super().__init__()
        self.exact = exact
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width, momentum=momentum)
        for number, blocks in enumerate(stages, start=1):
            self.add_module(f"layer{number}", nn.ModuleList(blocks))
        self.blocks = [block for blocks in stages for block in blocks]
        self.fc = nn.Linear(features, 1)
        initialise(self)
        nn.init.normal_(self.fc.weight, 0.0, 0.02)

    def features(self, residual: Tensor) -> Tensor:
        """[B, inputs, H, W] → [B, features, h, w]."""
        x = conv_bn(self.conv1(residual), self.conv2, self.bn1, not self.exact, relu=True)
        for block in self.blocks:
            x = block(x, not self.exact)
        return x

    def forward(self, residual: Tensor) -> Tensor:
        """[B, inputs, H, W] → logits [B] float32, the mean of `score_map`."""
        return linear_float32(self.features(residual).float().mean((2, 3)), self.fc).squeeze(1)

    def score_map(self, residual: Tensor) -> Tensor:
        """Logit of every patch, [B, inputs, H, W] → [B, h, w] float32; row i sees ``patch`` rows from step · i."""
        features = self.features(residual).permute(0, 2, 3, 1)
        return many_float32(features.flatten(0, 2), self.fc).view(features.shape[:3])


class LaDeDa(PatchNet):
    """A ResNet-50 with 3x3 convolutions in only two blocks: patches of 9x9 pixels, 13.6 million parameters.

    Args:
        inputs: channels of the residual.
        exact: see `PatchNet`.
    """

    patch, step = 9, 8

    def __init__(self, inputs: int = 3, exact: bool = False) -> None:
        stages, channels = [], 64
        for stage, (count, stride) in enumerate(((3, 2), (4, 2), (6, 2), (3, 1))):
            planes = 64 * 2**stage
            first = Bottleneck(channels, planes, stride, kernel=3 if stage < 2 else 1, padding=0)
            channels = 4 * planes
            stages.append([first, *(Bottleneck(channels, planes, 1, 1, 0) for _ in range(count - 1))])
        super().__init__(inputs, 64, 0.001, stages, channels, exact)


class TinyBlock(nn.Module):
    """A 1x1 and a 3x3 convolution with stride 2, without padding or shortcut.

    Args:
        channels: number of channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 2, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, fold: bool) -> Tensor:
        """[B, channels, H, W] → [B, channels, floor((H - 1) / 2), floor((W - 1) / 2)]."""
        x = conv_bn(x, self.conv1, self.bn1, fold, relu=True)
        return conv_bn(x, self.conv2, self.bn2, fold, relu=True)


class TinyLaDeDa(PatchNet):
    """Four convolutions of 8 channels: patches of 5x5 pixels, 1,297 parameters.

    Args:
        inputs: channels of the residual.
        exact: see `PatchNet`.
    """

    patch, step = 5, 2

    def __init__(self, inputs: int = 3, exact: bool = False) -> None:
        super().__init__(inputs, 8, 0.1, [[TinyBlock(8)]], 8, exact)
