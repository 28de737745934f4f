"""Group normalisation of large channels-last images on a CPU, in half the time that PyTorch takes.

PyTorch's route for them also loses digits where the mean is large compared with the standard deviation (an error of
5e-4 at a ratio of 17).
"""

import torch
from torch import Tensor, nn

ROWS = 8192  # Pixels whose channels are squared at a time: 3 MB at 96 channels, which fits a cache

LARGE = 256 * 256
"""Pixels from which it is faster. Smaller images go to PyTorch, with which published scores were computed."""


def group_norm_(x: Tensor, norm: nn.GroupNorm) -> Tensor:
    """``norm(x)``, in place where that is faster: large images without gradient, in float32, on a CPU, channels last.

    It computes the mean, then the mean square of the differences from it, over all pixels and channels of a group; then
    it applies one scale and one shift per channel (Wu and He 2018, equations 1 and 2).

    Args:
        x: [B, C, H, W].
        norm: layer of C channels, with weight and bias.
    """
    here = x.device.type == "cpu" and x.dtype == torch.float32 and x.is_contiguous(memory_format=torch.channels_last)
    small = x.shape[-2] * x.shape[-1] < LARGE
    if (
        torch.compiler.is_exporting()
        or small
        or not here
        or (torch.is_grad_enabled() and (x.requires_grad or norm.weight.requires_grad))
    ):
        return norm(x)  # type: ignore[no-any-return]
    for image in x:
        _normalise_(image, norm)
    return x


def _normalise_(image: Tensor, norm: nn.GroupNorm) -> None:
    """Normalise in place one image [C, H, W] in channels-last order."""
    pixels = image.permute(1, 2, 0).flatten(0, 1)
    count, channels = pixels.shape
    of_group = channels // norm.num_groups
    mean = pixels.mean(0).view(-1, of_group).mean(1).repeat_interleave(of_group)
    squares = torch.zeros(channels)
    for part in torch.split(pixels, ROWS):
        squares += (part - mean).square_().sum(0)
    variance = squares.view(-1, of_group).mean(1).repeat_interleave(of_group) / count
    scale = norm.weight * torch.rsqrt(variance + norm.eps)
    torch.addcmul(norm.bias - mean * scale, pixels, scale, out=pixels)
