"""VAR's transformer: next-scale prediction, block-causal over scales, conditioned on the class by AdaLN.

Source: Tian et al., "Visual Autoregressive Modeling" (2024), section 3; FoundationVision/VAR models/var.py and
models/basic_var.py. Module names are the checkpoint's key names. Unlike the original, ``forward`` never drops labels.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.tracer.models.sizes import VarSize, scale_lengths

MAX_LOG_SCALE = math.log(100)


class KeyValueCache:
    """Keys and values of all positions so far, one pair per block."""

    def __init__(self) -> None:
        self.pairs: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def extend(self, owner: nn.Module, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Append new keys and values [B, heads, n, c]; return all so far."""
        if owner in self.pairs:
            old_k, old_v = self.pairs[owner]
            k, v = torch.cat([old_k, k], 2), torch.cat([old_v, v], 2)
        self.pairs[owner] = (k, v)
        return k, v


class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int, approximate: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        """[..., width] → the same shape."""
        return cast(Tensor, self.fc2(F.gelu(self.fc1(x), approximate=self.approximate)))


class VarAttention(nn.Module):
    """Multi-head attention with keys and queries of unit length and a learnt scale per head."""

    zero_k_bias: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale_mul_1H11 = nn.Parameter(torch.full((1, heads, 1, 1), math.log(4.0)))
        self.q_bias = nn.Parameter(torch.zeros(width))
        self.v_bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("zero_k_bias", torch.zeros(width))
        self.mat_qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None, cache: KeyValueCache | None = None) -> Tensor:
        """[B, n, width] → the same shape; ``mask`` [1, 1, n, n] is added to the attention logits."""
        bias = torch.cat([self.q_bias, self.zero_k_bias, self.v_bias])
        qkv = F.linear(x, self.mat_qkv.weight, bias).reshape(*x.shape[:2], 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        q = F.normalize(q, dim=-1) * self.scale_mul_1H11.clamp_max(MAX_LOG_SCALE).exp().to(q.dtype)
        k = F.normalize(k, dim=-1)
        if cache is not None:
            k, v = cache.extend(self, k, v)
        q, k = q.to(v.dtype), k.to(v.dtype)
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=None if mask is None else mask.to(v.dtype), scale=1.0)
        return cast(Tensor, self.proj(h.transpose(1, 2).flatten(2)))


class VarBlock(nn.Module):
    """Attention and MLP, each modulated and gated by the class vector."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.width = width
        self.attn = VarAttention(width, heads)
        self.ffn = Mlp(width, 4 * width, "tanh")
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor | None, cache: KeyValueCache | None = None) -> Tensor:
        """``x`` [B, n, width], ``condition`` [B, width] → [B, n, width]."""
        gate1, gate2, scale1, scale2, shift1, shift2 = self.ada_lin(condition).unsqueeze(1).chunk(6, -1)
        h = F.layer_norm(x, (self.width,), eps=1e-6)
        x = x + self.attn(h * (1 + scale1) + shift1, mask, cache).mul_(gate1)
        h = F.layer_norm(x, (self.width,), eps=1e-6)
        return cast(Tensor, x + self.ffn(h * (1 + scale2) + shift2) * gate2)


class VarHeadNorm(nn.Module):
    """The modulated normalisation before the head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.ada_lin = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``x`` [B, n, width], ``condition`` [B, width] → [B, n, width]."""
        scale, shift = self.ada_lin(condition).unsqueeze(1).chunk(2, -1)
        return cast(Tensor, F.layer_norm(x, (self.width,), eps=1e-6) * (1 + scale) + shift)


class VarTransformer(nn.Module):
    """One VAR model. Labels are 0 … classes − 1, and ``null_label`` (= classes) for no condition.

    Args:
        size: Shape of the model.
    """

    lvl_1L: Tensor  # noqa: N815 - checkpoint key
    attn_bias_for_masking: Tensor

    def __init__(self, size: VarSize) -> None:
        super().__init__()
        self.size = size
        self.lengths = scale_lengths(size.patch_nums)
        self.length = sum(self.lengths)
        level = torch.cat([torch.full((1, n), i) for i, n in enumerate(self.lengths)], 1)
        # a token sees its own scale and the coarser ones
        seen = level[:, :, None] >= level[:, None, :]
        self.pos_start = nn.Parameter(torch.empty(1, 1, size.width))
        self.pos_1LC = nn.Parameter(torch.empty(1, self.length, size.width))
        self.register_buffer("lvl_1L", level)
        self.register_buffer("attn_bias_for_masking", torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)[:, None])
        self.word_embed = nn.Linear(size.latent, size.width)
        self.class_emb = nn.Embedding(size.classes + 1, size.width)
        self.lvl_embed = nn.Embedding(len(size.patch_nums), size.width)
        self.blocks = nn.ModuleList(VarBlock(size.width, size.heads) for _ in range(size.depth))
        self.head_nm = VarHeadNorm(size.width)
        self.head = nn.Linear(size.width, size.codebook)
        spread = math.sqrt(1 / size.width / 3)
        for table in (self.pos_start, self.pos_1LC, self.class_emb.weight, self.lvl_embed.weight):
            nn.init.trunc_normal_(table, std=spread)

    @property
    def null_label(self) -> int:
        """The label that means no condition."""
        return self.size.classes

    def trunk(self, labels: Tensor, teacher_input: Tensor) -> Tensor:
        """Everything but the last linear layer.

        Args:
            labels: int64 [B].
            teacher_input: [B, L − 1, latent] from :meth:`VarQuantiser.teacher_input`, or a prefix of whole scales
                (exact, since no token sees a finer scale).

        Returns:
            float32 [B, L, width] for :meth:`project`, whole or in slices.

        Raises:
            ValueError: If the prefix ends inside a scale.
        """
        n = teacher_input.shape[1] + 1
        ends = torch.tensor(self.lengths).cumsum(0).tolist()
        if n not in ends:
            raise ValueError(f"a sequence of {n} ends inside a scale; whole scales end at {ends}")
        condition = self.class_emb(labels)
        start = condition[:, None] + self.pos_start
        x = torch.cat([start, self.word_embed(teacher_input.float())], 1) + self.positions(0, n)
        mask = self.attn_bias_for_masking[:, :, :n, :n]
        for block in self.blocks:
            x = block(x, condition, mask)
        with torch.autocast(x.device.type, enabled=False):
            return cast(Tensor, self.head_nm(x.float(), condition.float()))

    def positions(self, first: int, last: int) -> Tensor:
        """Level plus position embeddings [1, last − first, width]."""
        return cast(Tensor, self.lvl_embed(self.lvl_1L[:, first:last]) + self.pos_1LC[:, first:last])

    def project(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., width] → float32 logits [..., codebook]."""
        with torch.autocast(hidden.device.type, enabled=False):
            return cast(Tensor, self.head(hidden.float()))

    def forward(self, labels: Tensor, teacher_input: Tensor) -> Tensor:
        """Teacher-forced logits [B, L, codebook]; row i predicts token i. See :meth:`trunk` for the arguments."""
        return self.project(self.trunk(labels, teacher_input))

    def step(self, labels: Tensor, scale: int, scale_input: Tensor | None, cache: KeyValueCache) -> Tensor:
        """Logits [B, n², codebook] of one scale, given the cache of the coarser ones.

        Args:
            labels: int64 [B].
            scale: Index of the scale; call in rising order from 0.
            scale_input: [B, n², latent], the features so far pooled to this scale; None for scale 0.
            cache: Grows with every call.
        """
        condition = self.class_emb(labels)
        first = sum(self.lengths[:scale])
        x = condition[:, None] + self.pos_start if scale_input is None else self.word_embed(scale_input.float())
        x = x + self.positions(first, first + self.lengths[scale])
        for block in self.blocks:
            x = block(x, condition, None, cache)
        with torch.autocast(x.device.type, enabled=False):
            x = self.head_nm(x.float(), condition.float())
        return self.project(x)
