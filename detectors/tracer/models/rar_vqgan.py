"""RAR's MaskGIT-VQGAN tokenizer: convolutions only, one plain codebook, 16 × 16 tokens.

Source: bytedance/1d-tokenizer modeling/modules/maskgit_vqgan.py. Module names are the checkpoint's key names.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.tracer.models.sizes import RarVqganSize
from detectors.tracer.models.tokenizer import nearest_code
from detectors.tracer.models.var_vqvae import MULTIPLIERS, STRIDE, group_norm


def _conv(c_in: int, c_out: int, kernel: int = 3, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=bias)


class ResBlock(nn.Module):
    """Two normalised bias-free 3×3 convolutions and a skip.

    Where channels change, the checkpoint's 1×1 ``nin_shortcut`` acts on the block's own output, and the true
    skip is lost: ``h + nin_shortcut(h)``. The published weights were trained this way, so it must stay.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.norm1 = group_norm(c_in)
        self.conv1 = _conv(c_in, c_out)
        self.norm2 = group_norm(c_out)
        self.conv2 = _conv(c_out, c_out)
        if c_in != c_out:
            self.nin_shortcut = _conv(c_out, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] → [B, c_out, H, W]."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return cast(Tensor, h + (self.nin_shortcut(h) if hasattr(self, "nin_shortcut") else x))


class Level(nn.Module):
    """Two residual blocks, then a change of resolution.

    ``pool`` halves it by a 2×2 mean; ``upsample`` doubles it by the nearest neighbour and a convolution.
    """

    def __init__(self, c_in: int, c_out: int, *, pool: bool = False, upsample: bool = False) -> None:
        super().__init__()
        self.block = nn.ModuleList([ResBlock(c_in, c_out), ResBlock(c_out, c_out)])
        self.pool = pool
        if upsample:
            self.upsample_conv = _conv(c_out, c_out, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """[B, c_in, H, W] → [B, c_out, H', W']."""
        for block in self.block:
            x = block(x)
        if hasattr(self, "upsample_conv"):
            x = self.upsample_conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return F.avg_pool2d(x, 2) if self.pool else x


class Encoder(nn.Module):
    """Images [B, 3, 16h, 16w] in [0, 1] → [B, latent, h, w]."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        widths = [channels * m for m in MULTIPLIERS]
        self.conv_in = _conv(3, channels)
        self.down = nn.ModuleList(
            Level(c_in, c_out, pool=i < len(widths) - 1)
            for i, (c_in, c_out) in enumerate(zip([channels, *widths], widths, strict=False))
        )
        self.mid = nn.ModuleList(ResBlock(widths[-1], widths[-1]) for _ in range(2))
        self.norm_out = group_norm(widths[-1])
        self.conv_out = _conv(widths[-1], latent, 1, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        h = self.conv_in(x)
        for module in (*self.down, *self.mid):
            h = module(h)
        return cast(Tensor, self.conv_out(F.silu(self.norm_out(h))))


class Decoder(nn.Module):
    """Features [B, latent, h, w] → [B, 3, 16h, 16w]; ``up`` is indexed by resolution and runs from coarse to fine."""

    def __init__(self, channels: int, latent: int) -> None:
        super().__init__()
        widths = [channels * m for m in MULTIPLIERS]
        self.conv_in = _conv(latent, widths[-1], bias=True)
        self.mid = nn.ModuleList(ResBlock(widths[-1], widths[-1]) for _ in range(2))
        self.up = nn.ModuleList(
            Level(widths[min(i + 1, len(widths) - 1)], c_out, upsample=i > 0) for i, c_out in enumerate(widths)
        )
        self.norm_out = group_norm(widths[0])
        self.conv_out = _conv(widths[0], 3, bias=True)

    def forward(self, z: Tensor) -> Tensor:
        """See the class."""
        h = self.conv_in(z)
        for module in (*self.mid, *reversed(list(self.up))):
            h = module(h)
        return cast(Tensor, self.conv_out(F.silu(self.norm_out(h))))


class Codebook(nn.Module):
    """The plain codebook, under the checkpoint's key name."""

    def __init__(self, codebook: int, latent: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codebook, latent)


class RarVqgan(nn.Module):
    """RAR's tokenizer; images in [0, 1]."""

    value_range = (0.0, 1.0)

    def __init__(self, size: RarVqganSize) -> None:
        super().__init__()
        self.size = size
        self.encoder = Encoder(size.channels, size.latent)
        self.decoder = Decoder(size.channels, size.latent)
        self.quantize = Codebook(size.codebook, size.latent)

    @property
    def image_size(self) -> int:
        """Side of an image in pixels."""
        return self.size.side * STRIDE

    def encode(self, x: Tensor) -> Tensor:
        """Images [B, 3, S, S] in [0, 1] → features [B, C, S/16, S/16]."""
        return cast(Tensor, self.encoder(x))

    def quantise(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, C, h, w] → tokens int64 [B, hw] (row-major) and their code vectors, float32 [B, C, h, w]."""
        tokens = nearest_code(f.flatten(2).transpose(1, 2), self.quantize.embedding.weight)
        return tokens, self.features(tokens)

    def features(self, tokens: Tensor) -> Tensor:
        """Tokens [B, side²] → code vectors [B, C, side, side], float32."""
        side = self.size.side
        if tokens.shape[1] != side * side:
            raise ValueError(f"expected {side * side} tokens per image, got {tokens.shape[1]}")
        codes = self.quantize.embedding(tokens).float()
        return cast(Tensor, codes.transpose(1, 2).reshape(tokens.shape[0], -1, side, side))

    def decode(self, f: Tensor) -> Tensor:
        """Features → images [B, 3, S, S], clamped to [0, 1]."""
        return torch.clamp(self.decoder(f), 0.0, 1.0)
