"""VAR's multi-scale residual quantiser: ten token maps, coarse to fine, each for the residual of the previous ones.

Source: Tian et al., "Visual Autoregressive Modeling" (2024), Algorithms 1 and 2; FoundationVision/VAR models/quant.py.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.tracer.models.sizes import scale_lengths
from detectors.tracer.models.tokenizer import nearest_code

PHIS = 4


def phi_index(scale: int, scales: int) -> int:
    """Which of the four shared convolutions refines a scale: the nearest of the ticks 1/12, 13/36, 23/36, 11/12."""
    ticks = np.linspace(1 / 3 / PHIS, 1 - 1 / 3 / PHIS, PHIS)
    return int(np.argmin(np.abs(ticks - scale / (scales - 1))))


class SharedPhi(nn.Module):
    """The four refining 3×3 convolutions, under the checkpoint's key names."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.qresi_ls = nn.ModuleList(nn.Conv2d(latent, latent, 3, padding=1) for _ in range(PHIS))


class VarQuantiser(nn.Module):
    """Codebook and multi-scale residual quantisation, all in float32.

    Args:
        codebook: Number of codes V.
        latent: Channels C of a code.
        patch_nums: Side of each scale's token map, rising; the last is the side of the feature map.
    """

    ema_vocab_hit_SV: Tensor  # noqa: N815 - the checkpoint's key; a usage counter of training that is never read

    def __init__(self, codebook: int, latent: int, patch_nums: tuple[int, ...]) -> None:
        super().__init__()
        if len(patch_nums) < 2 or list(patch_nums) != sorted(set(patch_nums)) or patch_nums[0] < 1:
            raise ValueError(f"patch_nums must rise strictly and hold at least two scales, got {patch_nums}")
        self.patch_nums = tuple(patch_nums)
        self.lengths = scale_lengths(self.patch_nums)
        self.side = self.patch_nums[-1]
        self.register_buffer("ema_vocab_hit_SV", torch.zeros(len(patch_nums), codebook))
        self.quant_resi = SharedPhi(latent)
        self.embedding = nn.Embedding(codebook, latent)

    @property
    def length(self) -> int:
        """Tokens of one image, all scales together."""
        return sum(self.lengths)

    def phi(self, scale: int) -> nn.Conv2d:
        """The convolution that refines a scale."""
        conv = self.quant_resi.qresi_ls[phi_index(scale, len(self.patch_nums))]
        assert isinstance(conv, nn.Conv2d)  # noqa: S101 - narrows ModuleList's element type
        return conv

    def upsample(self, codes: Tensor, scale: int) -> Tensor:
        """Code vectors [B, n², C] of a scale → [B, C, side, side], bicubic (the finest scale needs none)."""
        n = self.patch_nums[scale]
        h = codes.transpose(1, 2).reshape(codes.shape[0], codes.shape[2], n, n)
        return h if n == self.side else F.interpolate(h, size=(self.side, self.side), mode="bicubic")

    def lift(self, codes: Tensor, scale: int) -> Tensor:
        """Contribution [B, C, side, side] of one scale's code vectors [B, n², C] to the features; affine in them."""
        h = self.upsample(codes, scale)
        conv = self.phi(scale)
        return cast(Tensor, 0.5 * h + 0.5 * conv(h))

    def pool(self, f: Tensor, scale: int) -> Tensor:
        """Features [B, C, side, side] → [B, n², C], area-averaged to a scale (the finest needs none)."""
        n = self.patch_nums[scale]
        pooled = f if n == self.side else F.interpolate(f, size=(n, n), mode="area")
        return pooled.flatten(2).transpose(1, 2)

    def quantise(self, f: Tensor) -> tuple[Tensor, Tensor]:
        """Greedy tokens of features [B, C, side, side], scale by scale, each on the residual of the coarser scales.

        Returns:
            Tokens int64 [B, L], row-major, coarse scales first; quantised features float32 [B, C, side, side].
        """
        with torch.autocast(f.device.type, enabled=False):
            rest = f.float()
            f_hat = torch.zeros_like(rest)
            tokens = []
            for scale in range(len(self.patch_nums)):
                tokens.append(nearest_code(self.pool(rest, scale), self.embedding.weight))
                part = self.lift(self.embedding(tokens[-1]), scale)
                f_hat, rest = f_hat + part, rest - part
            return torch.cat(tokens, 1), f_hat

    def partial_features(self, tokens: Tensor) -> Iterator[Tensor]:
        """Sum of the scales so far [B, C, side, side], once per scale; a prefix of whole scales is allowed."""
        total: Tensor | None = None
        for scale, part in enumerate(torch.split(tokens, self.lengths_in(tokens.shape[1]), 1)):
            with torch.autocast(tokens.device.type, enabled=False):
                lifted = self.lift(self.embedding(part), scale)
            total = lifted if total is None else total + lifted
            yield total

    def features(self, tokens: Tensor) -> Tensor:
        """Tokens [B, L] → quantised features [B, C, side, side], float32."""
        if tokens.shape[1] != self.length:
            raise ValueError(f"expected {self.length} tokens per image, got {tokens.shape[1]}")
        *_, last = self.partial_features(tokens)
        return last

    def teacher_input(self, tokens: Tensor) -> Tensor:
        """Teacher-forcing input of scales 2…: the features so far, averaged down to the next scale's grid.

        Args:
            tokens: [B, L], or a prefix of whole scales.

        Returns:
            float32 [B, L − 1, C] (for a prefix: the inputs of its own scales only). Independent of class and
            transformer, so every size of the family shares it.
        """
        scales = self.scales_in(tokens.shape[1])
        rows = [
            self.pool(f_hat, scale + 1)
            for scale, f_hat in enumerate(self.partial_features(tokens))
            if scale + 1 < scales
        ]
        empty = self.embedding.weight.new_zeros(tokens.shape[0], 0, self.embedding.embedding_dim)
        return torch.cat([empty, *rows], 1)

    def scales_in(self, length: int) -> int:
        """Number of whole scales in a sequence of tokens.

        Raises:
            ValueError: If the sequence ends inside a scale.
        """
        ends = np.cumsum(self.lengths).tolist()
        if length not in ends:
            raise ValueError(f"{length} tokens end inside a scale; whole scales end at {ends}")
        return int(ends.index(length)) + 1

    def lengths_in(self, length: int) -> list[int]:
        """Tokens of each whole scale in a sequence."""
        return list(self.lengths[: self.scales_in(length)])
