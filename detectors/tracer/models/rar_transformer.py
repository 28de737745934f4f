"""RAR's transformer: next-token prediction in raster (or, in training, random) order, AdaLN at every position.

Source: Yu et al., "Randomized Autoregressive Visual Generation" (2024); bytedance/1d-tokenizer modeling/rar.py and
    modeling/modules/blocks.py. Module names are the checkpoint's key names. Scoring uses raster order and never drops
    labels.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectors.tracer.models.sizes import RarSize
from detectors.tracer.models.var_transformer import KeyValueCache, Mlp

PREFIX = 2  # the class token and the condition precede the image tokens


class RarAttention(nn.Module):
    """Causal multi-head attention with normalised queries and keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.q_norm = nn.LayerNorm(width // heads, eps=1e-6)
        self.k_norm = nn.LayerNorm(width // heads, eps=1e-6)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, cache: KeyValueCache | None) -> Tensor:
        """[B, n, width] → the same shape; causal, or with a cache ``n`` new positions that see all cached ones."""
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = self.q_norm(q).to(v.dtype), self.k_norm(k).to(v.dtype)
        mask = None
        if cache is not None:
            new = k.shape[2]
            k, v = cache.extend(self, k, v)
            if new > 1:
                mask = torch.ones(new, k.shape[2], dtype=torch.bool, device=k.device).tril(k.shape[2] - new)
        h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=cache is None)
        return cast(Tensor, self.proj(h.transpose(1, 2).flatten(2)))


class RarBlock(nn.Module):
    """Attention and MLP, each modulated and gated per position."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = RarAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width, mlp, "none")
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor, rows: Tensor, cache: KeyValueCache | None) -> Tensor:
        """``x`` [B, n, width]; ``condition`` [U, n, width] holds each distinct label once; ``rows`` [B] indexes it."""
        modulation = self.adaLN_modulation(condition)
        modulation = modulation if len(modulation) == 1 else modulation[rows]
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.chunk(6, -1)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1, cache)
        return cast(Tensor, x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2))


class RarHeadNorm(nn.Module):
    """The modulated normalisation before the head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor, rows: Tensor) -> Tensor:
        """Arguments as for :class:`RarBlock`."""
        modulation = self.adaLN_modulation(condition)
        scale, shift = (modulation if len(modulation) == 1 else modulation[rows]).chunk(2, -1)
        return cast(Tensor, F.layer_norm(x, (self.width,), eps=1e-6) * (1 + scale) + shift)


class RarTransformer(nn.Module):
    """One RAR model. Labels are 0 … classes − 1, and ``null_label`` (= classes) for no condition.

    One embedding table serves tokens (0 … V − 1), an unused mask id (V) and the labels (from V + 1).

    Args:
        size: Shape of the model.
    """

    def __init__(self, size: RarSize) -> None:
        super().__init__()
        self.size = size
        self.length = size.length
        self.cls_token = nn.Parameter(torch.empty(1, 1, size.width))
        self.pos_embed = nn.Parameter(torch.empty(1, size.length + 1024, size.width))
        self.target_aware_pos_embed = nn.Parameter(torch.empty(1, size.length + 1024, size.width))
        self.timesteps_embeddings = nn.Parameter(torch.empty(1, size.length + 100, size.width))
        self.blocks = nn.ModuleList(RarBlock(size.width, size.heads, size.mlp) for _ in range(size.depth))
        self.embeddings = nn.Embedding(size.codebook + size.classes + 2, size.width)
        self.adaln_before_head = RarHeadNorm(size.width)
        self.lm_head = nn.Linear(size.width, size.codebook)
        for table in (
            self.cls_token,
            self.pos_embed,
            self.target_aware_pos_embed,
            self.timesteps_embeddings,
            self.embeddings.weight,
        ):
            nn.init.trunc_normal_(table, std=0.02)

    @property
    def null_label(self) -> int:
        """The label that means no condition."""
        return self.size.classes

    def condition_ids(self, labels: Tensor) -> Tensor:
        """Rows of the embedding table for labels."""
        return labels + self.size.codebook + 1

    def sequence(self, labels: Tensor, tokens: Tensor, orders: Tensor | None = None) -> Tensor:
        """Input embeddings [B, 2 + n, width] of class token, condition and the first n tokens.

        Each slot also holds the position of the token that it predicts (the target-aware embedding): slot 1 holds that
        of token 0, and so on; the class token and a last token predict nothing.
        """
        n = tokens.shape[1]
        cells = torch.arange(self.length, device=tokens.device).expand(len(tokens), -1) if orders is None else orders
        ids = torch.cat([self.condition_ids(labels)[:, None], tokens], 1)
        x = torch.cat([self.cls_token.expand(len(ids), -1, -1), self.embeddings(ids)], 1)
        prefix = torch.arange(PREFIX, device=tokens.device).expand(len(tokens), -1)
        position = self.pos_embed[0, torch.cat([prefix, PREFIX + cells[:, :n]], 1)]
        target = self.target_aware_pos_embed[0, PREFIX + cells[:, : n + 1]]
        # the class token predicts nothing, nor does the last token of a full sequence
        target = F.pad(target, (0, 0, 1, 1 if n == self.length else 0))
        return x + position + target

    def conditions(self, labels: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
        """AdaLN input [U, last − first, width] of each distinct label, and the row of every image in it.

        The modulation is a third of the linear cost; it depends only on the label and is computed once for each.
        """
        distinct, rows = torch.unique(labels, return_inverse=True)
        vector = self.embeddings.weight[self.condition_ids(distinct)]
        return vector[:, None] + self.timesteps_embeddings[:, first:last], rows

    def trunk(self, labels: Tensor, tokens: Tensor, orders: Tensor | None = None) -> Tensor:
        """Everything but the last linear layer.

        Args:
            labels: int64 [B].
            tokens: int64 [B, L] in raster order, or its first n (an exact prefix).
            orders: int64 [B, L] permutations; the sequence then runs over ``tokens[b, orders[b]]``.

        Returns:
            float32 [B, n, width]: row i predicts token i of the sequence.

        Raises:
            ValueError: If there are more tokens than the model has positions, or a permutation of a prefix.
        """
        n = tokens.shape[1]
        if n > self.length:
            raise ValueError(f"{n} tokens, but this model has {self.length} positions")
        if orders is not None:
            if n != self.length:
                raise ValueError(f"a permutation needs the whole sequence of {self.length} tokens, got {n}")
            tokens = tokens.gather(1, orders)
        # the last token predicts nothing and is left out of the sequence
        return self.run(labels, self.sequence(labels, tokens[:, :-1], orders))

    def run(self, labels: Tensor, x: Tensor) -> Tensor:
        """Input embeddings [B, 2 + n, width] of :meth:`sequence` → hidden states [B, 1 + n, width], float32."""
        condition, rows = self.conditions(labels, 0, x.shape[1])
        for block in self.blocks:
            x = block(x, condition, rows, None)
        with torch.autocast(x.device.type, enabled=False):
            return cast(Tensor, self.adaln_before_head(x[:, 1:].float(), condition[:, 1:].float(), rows))

    def project(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., width] → float32 logits [..., codebook]."""
        with torch.autocast(hidden.device.type, enabled=False):
            return cast(Tensor, self.lm_head(hidden.float()))

    def forward(self, labels: Tensor, tokens: Tensor, orders: Tensor | None = None) -> Tensor:
        """Teacher-forced logits [B, n, codebook]; row i predicts token i of the sequence. See :meth:`trunk`."""
        return self.project(self.trunk(labels, tokens, orders))

    def step(self, labels: Tensor, index: int, last_token: Tensor | None, cache: KeyValueCache) -> Tensor:
        """Logits [B, codebook] of token ``index`` in raster order, given the cache of all earlier positions.

        Args:
            labels: int64 [B].
            index: Position of the token to predict; call in rising order from 0.
            last_token: int64 [B], the previous token; None for index 0.
            cache: Grows with every call.
        """
        target = self.target_aware_pos_embed[:, PREFIX + index]
        if last_token is None:
            x = self.sequence(labels, labels.new_empty(len(labels), 0))
            condition, rows = self.conditions(labels, 0, PREFIX)
        else:
            slot = index + 1
            x = (self.embeddings(last_token) + self.pos_embed[:, slot] + target)[:, None]
            condition, rows = self.conditions(labels, slot, slot + 1)
        for block in self.blocks:
            x = block(x, condition, rows, cache)
        with torch.autocast(x.device.type, enabled=False):
            x = self.adaln_before_head(x[:, -1:].float(), condition[:, -1:].float(), rows)
        return self.project(x[:, 0])
