"""Scores bit-identical to those of the ZED_Rep code base, known mistakes included, to compare with its numbers.

They differ from the default scores as follows: the entropy is the differential one of a logistic, log s + 2, weighted
by the posterior at the observed pixel; mixture log-masses are averaged, not summed, over the channels; end bins lose
their tails; masses are float32 differences of sigmoids floored at 1e-12; averages are rounded half to even.
"""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from detectors.zed.entropy.logistic import SREC_CLAMP
from detectors.zed.models.published_heads import PublishedHead, ResidualHead
from detectors.zed.models.pyramid import build_pyramid, upsample_nearest

MULTIPLE = 8


class LegacyMaps(NamedTuple):
    """One level's maps, nats."""

    nll: Tensor  # ``[B, H, W]``, for residual heads ``[B, 3, H, W]``
    entropy: Tensor  # ``[B, H, W]``
    d: Tensor  # Their difference, shaped like ``nll``


def load_legacy(image: Image.Image, max_side: int | None = 1536) -> Tensor:
    """That code's loader: transparency on white, optional reduction, centre crop to multiples of 8.

    Args:
        image: Any PIL image.
        max_side: Longest side allowed; a larger image is reduced by Lanczos with both sides floored to a multiple
            of 8, which changes the aspect ratio slightly. None keeps the size.

    Returns:
        uint8 ``[3, H, W]``.

    Raises:
        ValueError: If less than 8 pixels would remain on a side.
    """
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info or image.mode == "P":
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    W, H = image.size
    if max_side is not None and max(W, H) > max_side:
        ratio = max_side / max(W, H)
        W, H = (max(MULTIPLE, int(n * ratio) // MULTIPLE * MULTIPLE) for n in (W, H))
        image = image.resize((W, H), Image.Resampling.LANCZOS)
    w, h = W // MULTIPLE * MULTIPLE, H // MULTIPLE * MULTIPLE
    if not w or not h:
        raise ValueError(f"an image of {W} x {H} pixels is too small: ZED_Rep crops sides to multiples of {MULTIPLE}")
    left, top = (W - w) // 2, (H - h) // 2
    return torch.from_numpy(np.array(image.crop((left, top, left + w, top + h)))).permute(2, 0, 1).contiguous()


def legacy_maps(head: PublishedHead, x: Tensor, y: Tensor, temperature: float = 1.0) -> LegacyMaps:
    """Surprise of one level by that code's formulae.

    Args:
        head: Head with loaded weights.
        x: The level's pixels ``[B, 3, H, W]`` in 0..255.
        y: Their averages ``[B, 3, h, w]``.
        temperature: Divides the mixture logits.
    """
    logits, mu, log_s = head.maps(upsample_nearest(y, (x.shape[-2], x.shape[-1])))
    value, s = x.float()[:, None], log_s.exp()
    p = torch.sigmoid((value + 0.5 - mu) / s) - torch.sigmoid((value - 0.5 - mu) / s)
    log_p = torch.log(p.clamp_min(SREC_CLAMP))
    if isinstance(head, ResidualHead):
        nll, entropy = -log_p[:, 0], log_s[:, 0].mean(dim=1) + 2
        return LegacyMaps(nll, entropy, nll - entropy[:, None])
    joint = torch.log_softmax(logits / temperature, dim=1) + log_p.mean(dim=2)
    nll = -torch.logsumexp(joint, dim=1)
    entropy = (torch.softmax(joint, dim=1) * (log_s.mean(dim=2) + 2)).sum(dim=1)
    return LegacyMaps(nll, entropy, nll - entropy)


def image_scores(
    head0: PublishedHead,
    head1: PublishedHead,
    image: Tensor,
    max_side: int | None = None,
    temperature0: float = 1.0,
    temperature1: float = 1.0,
) -> dict[str, Tensor]:
    """`legacy_scores` of a single image of any size, uint8 ``[3, H, W]``, prepared as by `load_legacy`."""
    loaded = load_legacy(Image.fromarray(image.permute(1, 2, 0).cpu().numpy()), max_side)
    return legacy_scores(head0, head1, loaded[None].to(image.device), temperature0, temperature1)


@torch.inference_mode()
def legacy_scores(
    head0: PublishedHead, head1: PublishedHead, image: Tensor, temperature0: float = 1.0, temperature1: float = 1.0
) -> dict[str, Tensor]:
    """The five columns of that code's batch scores, each float32 ``[B]``, averaged over pixels as it does.

    Args:
        head0: Head of full resolution.
        head1: Head of half resolution.
        image: uint8 ``[B, 3, H, W]`` as from `load_legacy`.
        temperature0: Divides the mixture logits of ``head0``.
        temperature1: Divides those of ``head1``.
    """
    pyramid = build_pyramid(image, 2, "half_even")
    pairs = ((head0, temperature0), (head1, temperature1))
    d0, d1 = (
        legacy_maps(head, pyramid.x[level], pyramid.y[level], t).d.flatten(1).mean(dim=1)
        for level, (head, t) in enumerate(pairs)
    )
    delta = d0 - d1
    return {"D1": d1, "D0": d0, "Delta01": delta, "AbsDelta01": delta.abs(), "AbsD0": d0.abs()}
