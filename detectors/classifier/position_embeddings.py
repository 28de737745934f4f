"""Position embeddings of a vision transformer at another image size."""

import math
from collections.abc import Mapping

from torch import Tensor

NAMES = ("pos_embed", "pos_embedding", "positional_embedding")
"""Last part of the key: timm's, torchvision's and open_clip's."""


def resample(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fit position embeddings of another size: class token, then a square grid of patches.

    The grid is resampled by timm's rule (bicubic, antialiased), which open_clip has, too.

    Args:
        state: weights read; embeddings are [1 + n·n, D] or [1, 1 + n·n, D].
        wanted: ``module.state_dict()``.

    Returns:
        The state dict, its other entries as they are. What is no such grid stays, too: comparing shapes names it.
    """
    from timm.layers.pos_embed import resample_abs_pos_embed

    fitted = dict(state)
    for key, new in wanted.items():
        old = state.get(key)
        if old is None or key.rpartition(".")[2] not in NAMES or old.shape == new.shape or old.ndim != new.ndim:
            continue
        sides = [math.isqrt(tensor.shape[-2] - 1) for tensor in (old, new)]
        if old.shape[-1] != new.shape[-1] or any(
            side**2 + 1 != tensor.shape[-2] for side, tensor in zip(sides, (old, new), strict=True)
        ):
            continue
        rows = old.reshape(1, *old.shape[-2:])
        fitted[key] = resample_abs_pos_embed(rows, [sides[1]] * 2, num_prefix_tokens=1).reshape(new.shape)
    return fitted
