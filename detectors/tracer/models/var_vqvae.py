"""VAR's VQVAE: an LDM-style convolutional autoencoder with the multi-scale quantiser in the middle.

Source: FoundationVision/VAR models/basic_vae.py, models/vqvae.py. Module names are the checkpoint's key names.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.tracer.models.sizes import VarVqvaeSize
from detectors.tracer.models.var_quantiser import VarQuantiser

MULTIPLIERS = (1, 1, 2, 2, 4)
STRIDE = 1 << (len(MULTIPLIERS) - 1)


def group_norm(channels: int) -> nn.GroupNorm:
    """The normalisation of both tokenizers: 32 groups, eps 1e-6."""
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResBlock(nn.Module):
    """Two normalised 3×3 convolutions and a skip, which is a 1×1 convolution where channels change."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.norm1 = group_norm(c_in)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.norm2 = group_norm(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        if c_in != c_out:
            self.nin_shortcut = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] → [B, c_out, H, W]."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return cast(Tensor, (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + h)


class AttnBlock(nn.Module):
    """Single-head self-attention over positions, with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = group_norm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → the same shape."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).chunk(3, -1)
        h = F.scaled_dot_product_attention(q, k, v)
        return x + cast(Tensor, self.proj_out(h.transpose(1, 2).reshape(x.shape)))


class Downsample(nn.Module):
    """Halve the side: 3×3, stride 2, padded at the right and the bottom only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, H/2, W/2]."""
        return cast(Tensor, self.conv(F.pad(x, (0, 1, 0, 1))))


class Upsample(nn.Module):
    """Double the side: nearest neighbour, then 3×3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, 2H, 2W]."""
        return cast(Tensor, self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest")))


class Level(nn.Module):
    """Residual blocks of one resolution, attention after each at the coarsest, then a change of resolution."""

    def __init__(self, c_in: int, c_out: int, blocks: int, attention: bool) -> None:
        super().__init__()
        self.block = nn.ModuleList(ResBlock(c_in if i == 0 else c_out, c_out) for i in range(blocks))
        self.attn = nn.ModuleList(AttnBlock(c_out) for _ in range(blocks if attention else 0))

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] → [B, c_out, H', W']."""
        for i, block in enumerate(self.block):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class Middle(nn.Module):
    """Residual block, attention, residual block at the coarsest resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResBlock(channels, channels)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] → the same shape."""
        return cast(Tensor, self.block_2(self.attn_1(self.block_1(x))))


class Encoder(nn.Module):
    """Images [B, 3, 16h, 16w] → [B, latent, h, w]."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        widths = [channels * m for m in MULTIPLIERS]
        self.conv_in = nn.Conv2d(3, channels, 3, padding=1)
        self.down = nn.ModuleList()
        for i, (c_in, c_out) in enumerate(zip([channels, *widths], widths, strict=False)):
            level = Level(c_in, c_out, blocks=2, attention=i == len(widths) - 1)
            if i < len(widths) - 1:
                level.downsample = Downsample(c_out)
            self.down.append(level)
        self.mid = Middle(widths[-1])
        self.norm_out = group_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], latent, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        h = self.conv_in(x)
        for level in self.down:
            h = level(h)
        return cast(Tensor, self.conv_out(F.silu(self.norm_out(self.mid(h)))))


class Decoder(nn.Module):
    """Features [B, latent, h, w] → [B, 3, 16h, 16w]; ``up`` is indexed by resolution and runs from coarse to fine."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        widths = [channels * m for m in MULTIPLIERS]
        self.conv_in = nn.Conv2d(latent, widths[-1], 3, padding=1)
        self.mid = Middle(widths[-1])
        self.up = nn.ModuleList()
        for i, c_out in enumerate(widths):
            level = Level(widths[min(i + 1, len(widths) - 1)], c_out, blocks=3, attention=i == len(widths) - 1)
            if i > 0:
                level.upsample = Upsample(c_out)
            self.up.append(level)
        self.norm_out = group_norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        h = self.mid(self.conv_in(z))
        for level in reversed(list(self.up)):
            h = level(h)
        return cast(Tensor, self.conv_out(F.silu(self.norm_out(h), inplace=True)))


class VarVqvae(nn.Module):
    """VAR's tokenizer; images in [−1, 1]."""

    value_range = (-1.0, 1.0)

    def __init__(self, size: VarVqvaeSize) -> None:
        super().__init__()
        self.size = size
        self.encoder = Encoder(size.channels, size.latent)
        self.decoder = Decoder(size.channels, size.latent)
        self.quantize = VarQuantiser(size.codebook, size.latent, size.patch_nums)
        self.quant_conv = nn.Conv2d(size.latent, size.latent, 3, padding=1)
        self.post_quant_conv = nn.Conv2d(size.latent, size.latent, 3, padding=1)

    @property
    def image_size(self) -> int:
        """Side of an image in pixels."""
        return self.quantize.side * STRIDE

    def encode(self, x: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [−1, 1] → features [B, C, S/16, S/16]."""
        return cast(Tensor, self.quant_conv(self.encoder(x)))

    def quantise(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Features → greedy tokens [B, L] and quantised features; see :meth:`VarQuantiser.quantise`."""
        return self.quantize.quantise(f)

    def features(self, tokens: Tensor) -> Tensor:
        """Tokens [B, L] → quantised features [B, C, h, w], before ``post_quant_conv``."""
        return self.quantize.features(tokens)

    def decode(self, f: Tensor) -> Tensor:
        """Features → images [B, 3, S, S], clamped to [−1, 1]."""
        return torch.clamp(self.decoder(self.post_quant_conv(f)), -1.0, 1.0)
