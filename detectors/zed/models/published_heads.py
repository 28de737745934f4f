"""Heads with the parameter names of the ZED_Rep code base, for its checkpoints.

They work at full resolution on the average upsampled by nearest neighbours. Their method `maps` gives the raw outputs,
from which that code's own scores are computed (`legacy`); calling a head gives the same predictions in the form from
which all other scores are computed.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.zed.entropy.logistic import Mixture
from detectors.zed.models.density import MIN_LOG_SCALE, InputScale, in_float32, scale_input
from detectors.zed.models.group_norm import group_norm_
from detectors.zed.models.heads import Head, receptive_rows
from detectors.zed.models.pyramid import OFFSETS, upsample_nearest


class RawMaps(NamedTuple):
    """Predictions at full resolution."""

    logits: Tensor  # Shared mixture logits ``[B, K, H, W]``
    mu: Tensor  # Means ``[B, K, 3, H, W]``, pixel units
    log_s: Tensor  # Log-scales ``[B, K, 3, H, W]``


class PublishedHead(Head):
    """Base of the two forms.

    Args:
        input_scale: Affine of the network's input.
    """

    def __init__(self, input_scale: InputScale = "uint8") -> None:
        super().__init__()
        self.input_scale = input_scale

    def maps(self, y_up: Tensor) -> RawMaps:
        """Raw predictions from the average upsampled to ``[B, 3, H, W]``."""
        raise NotImplementedError

    def forward(self, y: Tensor) -> Mixture:
        """See `Head`."""
        h, w = y.shape[-2:]
        raw = self.maps(upsample_nearest(y, (2 * h, 2 * w)))

        def phases(p: Tensor) -> Tensor:
            return torch.stack([p[..., i::2, j::2] for i, j in OFFSETS], dim=1).movedim(2, -1)

        return Mixture(phases(raw.logits[:, :, None]), phases(raw.mu), phases(raw.log_s).clamp_min(MIN_LOG_SCALE))


class _TwoConvolutions(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.c2 = nn.Conv2d(hidden, hidden, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.c2(F.gelu(self.c1(x))))


class ResidualHead(PublishedHead):
    """A single logistic whose mean is the average plus a predicted difference; 149,894 parameters at 64 channels.

    Args:
        hidden: Channels.
        input_scale: Affine of the network's input.
    """

    def __init__(self, hidden: int = 64, input_scale: InputScale = "uint8") -> None:
        super().__init__(input_scale)
        self.reach = receptive_rows(5)
        self.stem = nn.Conv2d(3, hidden, 3, padding=1)
        self.block1 = _TwoConvolutions(hidden)
        self.block2 = _TwoConvolutions(hidden)
        self.head = nn.Conv2d(hidden, 6, 1)
        with torch.no_grad():
            self.head.bias[3:] = 1.5  # type: ignore[index]

    def maps(self, y_up: Tensor) -> RawMaps:
        """See the base class; one component."""
        z = self.stem(scale_input(y_up, self.input_scale))
        delta, log_s = in_float32(self.head, self.block2(self.block1(F.gelu(z)))).chunk(2, dim=1)
        return RawMaps(torch.zeros_like(delta[:, :1]), (y_up + delta)[:, None], log_s.clamp(-1.5, 3.0)[:, None])


class _NormalisedResidual(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.norm1 = nn.GroupNorm(8, hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.norm2 = nn.GroupNorm(8, hidden)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor) -> Tensor:
        # in place: at full resolution every copy costs as much as a tenth of a convolution
        h = F.relu_(group_norm_(self.conv1(x), self.norm1))
        return F.relu_(group_norm_(self.conv2(h), self.norm2).add_(x))


class MixtureHead(PublishedHead):
    """K logistics with weights shared by the channels and absolute means.

    Its group normalisation runs over the whole image, so it cannot be evaluated in bands of rows.

    Args:
        mixtures: Components K.
        hidden: Channels, a multiple of 8.
        blocks: Residual blocks.
        input_scale: Affine of the network's input.
    """

    def __init__(self, mixtures: int = 5, hidden: int = 96, blocks: int = 4, input_scale: InputScale = "uint8") -> None:
        super().__init__(input_scale)
        self.reach = None
        self.mixtures = mixtures
        self.stem = nn.Conv2d(3, hidden, 3, padding=1)
        self.trunk = nn.Sequential(*(_NormalisedResidual(hidden) for _ in range(blocks)))
        self.head_pi = nn.Conv2d(hidden, mixtures, 3, padding=1)
        self.head_mu = nn.Conv2d(hidden, 3 * mixtures, 3, padding=1)
        self.head_ls = nn.Conv2d(hidden, 3 * mixtures, 3, padding=1)

    def maps(self, y_up: Tensor) -> RawMaps:
        """See the base class."""
        z = self.trunk(self.stem(scale_input(y_up, self.input_scale)))
        # one convolution for all three, because reading z dominates the cost
        layers = [self.head_pi, self.head_mu, self.head_ls]
        weight, bias = (torch.cat([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
        with torch.autocast(z.device.type, enabled=False):
            raw = F.conv2d(z if z.dtype == torch.float64 else z.float(), weight, bias, padding=1)
        logits, mu, log_s = raw.tensor_split([self.mixtures, 4 * self.mixtures], dim=1)
        shape = (z.shape[0], self.mixtures, 3, *z.shape[-2:])
        return RawMaps(logits, mu.reshape(shape), log_s.reshape(shape))


def load_published_head(
    source: Path | Mapping[str, Tensor], input_scale: InputScale = "uint8"
) -> ResidualHead | MixtureHead:
    """Load a ZED_Rep checkpoint, a bare state dict; kind and sizes are read off the keys and shapes.

    1x1 output layers of old mixture checkpoints become 3x3 layers with a rim of zeros. Keys must fit exactly; that code
    base ignores those that do not.

    Args:
        source: Checkpoint file, or the state dict itself.
        input_scale: Affine of the network's input.

    Raises:
        ValueError: If the keys fit neither form.
    """
    state = torch.load(source, map_location="cpu", weights_only=True) if isinstance(source, Path) else dict(source)
    if not isinstance(state, dict) or "stem.weight" not in state:
        place = source if isinstance(source, Path) else "the state dict"
        raise ValueError(f"{place} is not a ZED_Rep head: it has no stem.weight")
    hidden = state["stem.weight"].shape[0]
    head: ResidualHead | MixtureHead
    if "head_pi.weight" in state:
        blocks = 1 + max((int(m[1]) for key in state if (m := re.match(r"trunk\.(\d+)\.", key))), default=-1)
        head = MixtureHead(state["head_pi.weight"].shape[0], hidden, blocks, input_scale)
        for name in ("head_pi.weight", "head_mu.weight", "head_ls.weight"):
            if name in state and state[name].shape[-1] == 1:
                state[name] = F.pad(state[name], (1, 1, 1, 1))
    else:
        head = ResidualHead(hidden, input_scale)
    wrong = sorted(set(state) ^ set(head.state_dict()))
    if wrong:
        raise ValueError(f"keys do not fit a {type(head).__name__}: {wrong[:5]} ({len(wrong)} in all)")
    head.load_state_dict(state)
    return head
