"""Position embeddings of a vision transformer at another image size."""

import math
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from contracts.errors import ConfigError

NAMES = ("pos_embed", "pos_embedding", "positional_embedding")
"""Last part of the key: timm's, torchvision's and open_clip's."""


def resample(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Resample position embeddings of another size: a class token, then a square grid of patches.

    The grid is resampled with timm's rule (bicubic, antialiased), which open_clip also uses.

    Args:
        state: weights read; embeddings are [1 + n·n, D] or [1, 1 + n·n, D].
        wanted: ``module.state_dict()``.

    Returns:
        The state dict; other entries, and embeddings without such a grid, are not changed.
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


RULES = ("timm", "dinov2")  # ``timm``: bicubic, antialiased, as `resample`; ``dinov2``: as the authors' hub code


def resample_dinov2(positions: Tensor, side: int) -> Tensor:
    """Position embeddings for a grid of ``side`` patches, as DINOv2's authors resample them in every forward pass.

    Bicubic without antialiasing, by the factor (side + 0.1) / old side, which shifts the kernel a little
    (``interpolate_pos_encoding`` of facebookresearch/dinov2). timm's rule changes a toy model's logit by 0.09.

    Args:
        positions: [1, 1 + n·n, D], or [1, n·n, D] without a class token.
        side: side of the new grid.

    Raises:
        ConfigError: the grid is not square.
    """
    count = positions.shape[1]
    prefix = 0 if math.isqrt(count) ** 2 == count else 1
    old = math.isqrt(count - prefix)
    if old**2 + prefix != count:
        raise ConfigError(f"detector.positions=dinov2 with {count} positions", "Choose detector.positions=timm.")
    if old == side:
        return positions
    grid = positions[:, prefix:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
    factor = (side + 0.1) / old
    new = F.interpolate(grid, scale_factor=(factor, factor), mode="bicubic", antialias=False)
    return F.pad(new.flatten(2).mT, (0, 0, prefix, 0)) + F.pad(positions[:, :prefix], (0, 0, 0, side**2))
