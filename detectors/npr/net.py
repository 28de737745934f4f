"""The single-scale NPR network: the first half of a ResNet-50 on the residual of `detectors.npr.residual`.

State-dict keys are those of the published weights (146 entries, 1,437,761 parameters): 3x3 stem, Bottleneck stages of
3 and 4 blocks, global average pooling, one linear unit ``fc1``.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from detectors.npr.fold import Shortcut, conv_bn
from detectors.npr.residual import even_size, npr_residual, npr_residual_by_resampling
from detectors.parts.precision import linear_float32


class Bottleneck(nn.Module):
    """ResNet bottleneck with the stride on its middle convolution; expansion 4.

    Args:
        inputs: channels in.
        planes: channels inside; the output has ``4 * planes``.
        stride: stride of the middle convolution and the shortcut.
        kernel: side of the middle convolution.
        padding: padding of the middle convolution; if it is too small, the shortcut loses its last rows and columns.
    """

    def __init__(self, inputs: int, planes: int, stride: int = 1, kernel: int = 3, padding: int = 1) -> None:
        super().__init__()
        outputs = 4 * planes
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, kernel, stride, padding, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = Shortcut(inputs, outputs, stride) if stride != 1 or inputs != outputs else None

    def forward(self, x: Tensor, fold: bool) -> Tensor:
        """[B, inputs, H, W] → [B, 4 · planes, H / stride, W / stride]."""
        skip = x if self.downsample is None else self.downsample(x, fold)
        x = conv_bn(x, self.conv1, self.bn1, fold, relu=True)
        x = conv_bn(x, self.conv2, self.bn2, fold, relu=True)
        return conv_bn(x, self.conv3, self.bn3, fold, relu=True, skip=skip[..., : x.shape[-2], : x.shape[-1]])


class NPRNet(nn.Module):
    """NPR of a normalised image → logit that it is generated.

    Args:
        exact: the original's arithmetic, operation by operation, instead of folded batch norms.
    """

    def __init__(self, exact: bool = False) -> None:
        super().__init__()
        self.exact = exact
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.ModuleList([Bottleneck(64, 64), Bottleneck(256, 64), Bottleneck(256, 64)])
        self.layer2 = nn.ModuleList([Bottleneck(256, 128, stride=2), *(Bottleneck(512, 128) for _ in range(3))])
        self.fc1 = nn.Linear(512, 1)
        initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images [B, 3, H, W] float32 (odd sizes lose their last row or column) → logits [B] float32."""
        return self.head(self.features(self.scaled_residual(images)))

    def scaled_residual(self, images: Tensor) -> Tensor:
        """Normalised images → two thirds of their residual, the first convolution's input [B, 3, H', W']."""
        images = even_size(images)
        residual = npr_residual_by_resampling(images) if self.exact else npr_residual(images)
        return residual * 2.0 / 3.0  # not 2/3 in one factor, which differs in the last bit

    def features(self, scaled: Tensor) -> Tensor:
        """Scaled residual [B, 3, H, W] → pooled features [B, 512]."""
        fold = not self.exact
        x = conv_bn(scaled, self.conv1, self.bn1, fold, relu=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for block in (*self.layer1, *self.layer2):
            x = block(x, fold)
        return F.adaptive_avg_pool2d(x, 1).flatten(1)

    def head(self, features: Tensor) -> Tensor:
        """[B, 512] → logits [B], float32 for features of any precision."""
        return linear_float32(features, self.fc1).squeeze(1)


def initialise(net: nn.Module) -> None:
    """He initialisation of every convolution (fan-out, ReLU), in place; batch norms and linear layers keep torch's."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
