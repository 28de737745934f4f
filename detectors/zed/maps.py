"""Per-pixel surprise of an image, level by level, in bands of rows, so that any size fits in memory.

A band is evaluated with the model's halo around it, so its rows equal those of the whole image evaluated at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from detectors.zed.entropy.entropy import Backend, entropy, negative_log_prob
from detectors.zed.entropy.logistic import Mixture
from detectors.zed.models.density import DensityModel, StepOptions, Steps
from detectors.zed.models.pyramid import Rounding, build_pyramid

POSITIONS = 2**18  # Positions of the half-resolution grid evaluated at once, halo excluded; about 1 GB for SReC


class LevelMaps(NamedTuple):
    """Surprise of one level, nats per subpixel (mean of a pixel's three channels)."""

    nll: Tensor  # Negative log-likelihood of the actual pixels, float32 ``[B, H, W]``; 0 where not coded
    entropy: Tensor  # Its expectation under the model, float32 ``[B, H, W]``; 0 where not coded
    coded: Tensor  # Which pixels carry cost, bool ``[H, W]``

    @property
    def d(self) -> Tensor:
        """NLL minus entropy, ``[B, H, W]``: positive where the model is more surprised than it expects to be."""
        return self.nll - self.entropy


@torch.inference_mode()
def level_maps(
    model: DensityModel,
    image: Tensor,
    levels: Iterable[int] = (0, 1),
    *,
    temperature: float | Sequence[float] = 1.0,
    rounding: Rounding = "ties_down",
    clamp_p: float | None = None,
    positions: int = POSITIONS,
    conv_dtype: torch.dtype = torch.float32,
    backend: Backend = "auto",
    draw: torch.Generator | None = None,
) -> dict[int, LevelMaps]:
    """Surprise of every pixel of the levels wanted.

    Args:
        model: A density model in evaluation mode.
        image: uint8 ``[B, 3, H, W]``, any size from 2 x 2, on the model's device.
        levels: Levels wanted, 0 being full resolution. A chained model runs the coarser ones for their context only.
        temperature: Divides the logits of the mixture weights; one number, or one per level from level 0 on.
        rounding: Rounding of the pyramid.
        clamp_p: Floor of each component's mass, for parity with code that has one.
        positions: Half-resolution positions evaluated at once; bounds memory, changes no result beyond 1e-5.
        conv_dtype: bfloat16 or float16 run the convolutions by autocast; last layers and likelihood stay float32.
        backend: How entropies are computed, see `entropy`.
        draw: Score pixels sampled from the model itself, given the image's averages, instead of the image's own. Their
            D has mean zero whatever the model has learnt.

    Raises:
        ValueError: If the image has the wrong shape, a level does not exist, or a temperature is not positive.
    """
    wanted = sorted(set(levels), reverse=True)
    if image.ndim != 4 or image.shape[1] != 3 or min(image.shape[-2:]) < 2:
        raise ValueError(f"expected images [B, 3, H, W] of at least 2 x 2 pixels, got {tuple(image.shape)}")
    if not wanted or wanted[0] >= model.levels or wanted[-1] < 0:
        raise ValueError(f"levels {wanted} are not among the model's levels 0..{model.levels - 1}")
    heat = [temperature] * model.levels if isinstance(temperature, int | float) else list(temperature)
    if len(heat) != model.levels or not min(heat) > 0:
        raise ValueError(f"temperature {temperature}: give a positive number, or one for each of {model.levels} levels")
    top = model.levels if model.chained else wanted[0] + 1
    pyramid = build_pyramid(image, top, rounding)
    maps: dict[int, LevelMaps] = {}
    context: Tensor | None = None
    for level in range(top - 1, wanted[-1] - 1, -1):
        if not model.chained and level not in wanted:
            continue
        coded = level in wanted
        options = StepOptions(coded, heat[level], draw if coded else None)
        run = _LevelRun(model, level, pyramid.x[level], pyramid.y[level], context, options, clamp_p, backend)
        with torch.autocast(image.device.type, conv_dtype, enabled=conv_dtype != torch.float32):
            found, context = run(positions, keep_context=model.chained and level > wanted[-1])
        if found is not None:
            maps[level] = found
    return maps


@dataclass(frozen=True)
class _LevelRun:
    """One level of one image, band by band."""

    model: DensityModel
    level: int
    x: Tensor
    y: Tensor
    context: Tensor | None
    options: StepOptions
    clamp_p: float | None
    backend: Backend

    def __call__(self, positions: int, keep_context: bool) -> tuple[LevelMaps | None, Tensor | None]:
        B, _, h, w = self.y.shape
        coded = self.options.coded
        halo = self.model.halo(self.level)
        rows = h if halo is None else max(1, positions // (B * w))
        shape, device = (B, 2 * h, 2 * w), self.y.device
        nll, expected = (torch.zeros(shape if coded else (0,), device=device) for _ in range(2))
        mask = torch.zeros(shape[1:], dtype=torch.bool, device=device)
        kept: Tensor | None = None
        for start in range(0, h, rows):
            stop = min(start + rows, h)
            first, last = max(0, start - (halo or 0)), min(h, stop + (halo or 0))
            inside = slice(start - first, stop - first)
            latest: Tensor | None = None
            for block, context in self._steps(first, last):
                latest = context
                if block is None:
                    continue
                value, mixture = block.value[:, :, inside], Mixture(*(p[:, :, inside] for p in block.mixture))
                i, j = block.offset
                at = (..., slice(2 * start + i, 2 * stop, 2), slice(j, None, 2))
                nll[at] = negative_log_prob(value, mixture, self.clamp_p).mean(dim=1)
                expected[at] = entropy(mixture, self.backend).mean(dim=1)
                mask[at] = True
            if keep_context and latest is not None:
                if kept is None:
                    kept = latest.new_empty(B, latest.shape[1], h, w)
                kept[:, :, start:stop] = latest[:, :, inside]
        if not coded:
            return None, kept
        H, W = self.x.shape[-2:]
        return LevelMaps(nll[:, :H, :W], expected[:, :H, :W], mask[:H, :W]), kept

    def _steps(self, first: int, last: int) -> Steps:
        """The model's blocks on rows ``first..last`` of the half-resolution grid, halo included."""
        x = self.x[..., 2 * first : 2 * last, :].float()
        y = self.y[..., first:last, :]
        context = None
        if self.context is not None:
            # with one more row on each side for the upsampling convolution
            low, high = max(0, first // 2 - 1), last // 2 + 2
            wide = self.model.expand(self.level, self.context[..., low:high, :])
            context = wide[..., first - 2 * low : last - 2 * low, : y.shape[-1]]
        return self.model.steps(self.level, x, y, context, self.options)
