"""LPIPS (Zhang et al., CVPR 2018, arXiv 1801.03924) on VGG16, layer by layer and as maps.

The linear weights come with the package ``lpips`` (0.1, VGG); those of VGG16 are torchvision's.
"""

import re
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from contracts.errors import CheckpointError, ConfigError
from detectors.parts.weights import check_state, find_state, read_checkpoint

ENDS = (4, 9, 16, 23, 30)
"""Where each layer's features leave VGG16: after relu1_2, relu2_2, relu3_3, relu4_3 and relu5_3."""
CHANNELS = (64, 128, 256, 512, 512)
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # Of images on [-1, 1], before VGG16
VGG_KEY = re.compile(r"(?:features\.|(?:net\.)?slice\d\.)?(\d+)\.(weight|bias)")
LINEAR_KEY = re.compile(r"lin(\d)\.model\.1\.weight")
EPSILON = 1e-10


class LpipsMaps(nn.Module):
    """Distances between two images at each position of a layer of VGG16.

    Args:
        layer: 1 to 5, at 1, 1/2, 1/4, 1/8 and 1/16 of the image's resolution; 0 is the sum of all five, each enlarged
            to the image's size (bilinear), which is LPIPS itself.

    Raises:
        ConfigError: the layer is not from 0 to 5.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, layer: int = 2) -> None:
        super().__init__()
        if not 0 <= layer <= len(ENDS):
            raise ConfigError(f"detector.layer={layer}", "Give a layer from 1 to 5, or 0 for their sum.")
        self.layer = layer
        self.vgg = make_layers(cfgs["D"], batch_norm=False)[: ENDS[(layer or len(ENDS)) - 1]]
        self.linear = nn.ParameterList(torch.zeros(1, count, 1, 1) for count in CHANNELS)
        self.register_buffer("shift", torch.tensor(SHIFT).view(3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE).view(3, 1, 1), persistent=False)

    def load(self, vgg: str | Path, linear: str | Path | None = None) -> None:
        """Read the weights.

        Args:
            vgg: torchvision's VGG16, or the state dict of ``lpips.LPIPS``.
            linear: the linear weights as ``lpips`` keeps them; None for those in ``vgg`` or else in the package.

        Raises:
            CheckpointError: a file that cannot be read or does not fit.
            ConfigError: the linear weights are in no file and the package is not installed.
        """
        state = find_state(read_checkpoint(vgg), vgg).state
        trunk = {".".join(m.groups()): value for key, value in state.items() if (m := VGG_KEY.fullmatch(key))}
        wanted = self.vgg.state_dict()
        with torch.device("meta"):
            later = make_layers(cfgs["D"], batch_norm=False).state_dict().keys() - wanted.keys()
        check_state({key: value for key, value in trunk.items() if key not in later}, wanted, vgg, "VGG16")
        self.vgg.load_state_dict({key: trunk[key] for key in wanted})
        found = _linear(state)
        if linear is not None or not found:
            path = Path(linear) if linear is not None else packaged_linear()
            found = _linear(find_state(read_checkpoint(path), path).state)
        for index, parameter in enumerate(self.linear):
            if index not in found or found[index].shape != parameter.shape:
                raise CheckpointError(
                    f"{linear or vgg} holds no weights lin{index} of LPIPS on VGG16",
                    "Give weights/v0.1/vgg.pth of the package lpips.",
                )
            parameter.data.copy_(found[index])

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        """Two batches of unit-range images [B, 3, H, W] → distances [B, h, w] at the layer's resolution."""
        found: list[Tensor] = [
            (self.linear[index] * (a - b) ** 2).sum(1, keepdim=True)
            for (index, a), (_, b) in zip(self._features(one), self._features(other), strict=True)
        ]
        if self.layer:
            return found[0][:, 0]
        size = one.shape[-2:]
        enlarged = [F.interpolate(each, size, mode="bilinear", align_corners=False) for each in found]
        total: Tensor = torch.stack(enlarged).sum(0)[:, 0]
        return total

    def _features(self, unit: Tensor) -> list[tuple[int, Tensor]]:
        """Index and features of each requested layer; every position's vector has length 1."""
        x = (2 * unit - 1 - self.shift) / self.scale
        found = []
        for place, part in enumerate(self.vgg, start=1):
            x = part(x)
            if place in (ENDS if not self.layer else ENDS[self.layer - 1 : self.layer]):
                found.append((ENDS.index(place), x / (x.square().sum(1, keepdim=True).sqrt() + EPSILON)))
        return found


def _linear(state: Mapping[str, Tensor]) -> dict[int, Tensor]:
    return {int(m.group(1)): value for key, value in state.items() if (m := LINEAR_KEY.fullmatch(key))}


def packaged_linear() -> Path:
    """The linear weights in the package ``lpips``.

    Raises:
        ConfigError: it is not installed.
    """
    if find_spec("lpips") is None:
        raise ConfigError(
            "the linear weights of LPIPS come with the package lpips, which is not installed",
            "pip install 'pixelproof[aeroblade]', or give detector.linear=FILE.",
        )
    return Path(str(resources.files("lpips") / "weights" / "v0.1" / "vgg.pth"))
