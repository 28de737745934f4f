"""PatchCraft (arXiv 2311.12397) as a detector."""

from dataclasses import replace
from typing import Unpack

import torch.nn.functional as F
from torch import Tensor, nn

from contracts.batch import Batch, as_unit_float
from contracts.view import View
from detectors.base import Detector, Scores, Training
from detectors.parts.precision import linear_float32, tf32_only_if_allowed
from detectors.parts.slices import in_slices
from detectors.parts.srm_filters import srm_filters
from detectors.patchcraft.patches import TexturePatches

WIDTH = 32


def _convolutions(count: int, pool: bool) -> nn.Sequential:
    """3x3 convolutions with batch norm and ReLU, and average pooling."""
    layers: list[nn.Module] = []
    for _ in range(count):
        layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, *([nn.AvgPool2d(3, 2, 1)] if pool else []))


class PatchCraftNet(nn.Module):
    """30 fixed high-pass filters, one convolution for both images of patches, and a small network on their difference.

    State-dict keys are those of the released weights (80 entries, 119,919 parameters with the filters).
    """

    def __init__(self) -> None:
        super().__init__()
        self.group1 = nn.ModuleDict({"hpf": nn.Conv2d(1, 30, 5, padding=2, bias=False)})
        weight = self.group1.get_parameter("hpf.weight").requires_grad_(False)
        weight.copy_(srm_filters()[:, None])
        self.group1_b = nn.Sequential(nn.Conv2d(90, WIDTH, 3, padding=1), nn.BatchNorm2d(WIDTH), nn.Hardtanh(-5, 5))
        self.group2 = _convolutions(4, pool=True)
        self.group3 = _convolutions(2, pool=True)
        self.group4 = _convolutions(2, pool=True)
        self.group5 = _convolutions(2, pool=False)
        self.fc2 = nn.Linear(WIDTH, 1)

    def high_pass(self, images: Tensor) -> Tensor:
        """[B, 3, S, S] → [B, 90, S, S], the 30 maps of red first."""
        return F.conv2d(images, self.group1.get_parameter("hpf.weight").repeat(3, 1, 1, 1), padding=2, groups=3)

    def forward(self, images: Tensor) -> Tensor:
        """Unit-range images [B, 3, S, 2 · S], poor patches on the left and rich ones on the right → logits [B]."""
        poor, rich = (self.group1_b(self.high_pass(half)) for half in images.chunk(2, dim=3))
        x = self.group5(self.group4(self.group3(self.group2(poor - rich))))
        return linear_float32(x.mean((2, 3)), self.fc2).squeeze(1)


class PatchCraft(Detector):
    """Random patches, sorted by texture → filters → the difference of poor and rich → logit.

    The original takes patches from a global random generator, so that a score depends on its place in the run. Here
    the patches of an evaluated image depend on its pixels alone, those of a training image on its key.

    Args:
        train_view: size policy and augmentation of a training image, before patches are cut.
        eval_view: size policy of an evaluated image, before patches are cut; the native size as published.
        side: side of the images of patches in pixels.
        per_side: patches along a side.
        training: see `Detector`.

    Raises:
        ConfigError: the side is not a multiple of ``per_side``, or a patch is smaller than 2 pixels.
    """

    net: PatchCraftNet

    def __init__(
        self, train_view: View, eval_view: View, side: int = 256, per_side: int = 8, **training: Unpack[Training]
    ) -> None:
        super().__init__(
            with_patches(train_view, TexturePatches(side, per_side, by_pixels=False)),
            with_patches(eval_view, TexturePatches(side, per_side)),
            **training,
        )
        self.net = PatchCraftNet()

    def forward(self, images: Tensor) -> Tensor:
        """Images of patches [B, 3, S, 2 · S], uint8 or unit-range float32 → logits [B] float32."""
        return self.net(self.to_memory_format(as_unit_float(images)))  # type: ignore[no-any-return]

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy of the logits."""
        return F.binary_cross_entropy_with_logits(self(batch.images), batch.label[batch.crop_to_image].float())

    def score(self, batch: Batch) -> Scores:
        """One logit per crop."""
        with tf32_only_if_allowed():
            return Scores(in_slices(self, batch.images))


def with_patches(view: View, patches: TexturePatches) -> View:
    """A view that ends with images of patches."""
    return replace(view, augment=(*view.augment, patches), equal_sizes=True)
