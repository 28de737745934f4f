"""SReC, the super-resolution based compressor ZED scores with (Cao, Wu, Krähenbühl 2020, sections 3 and 4).

In each of three levels it predicts the top-left, top-right and bottom-left pixel of every 2x2 block in turn, from the
exact average and the pixels already predicted; the bottom-right one follows from them at no cost.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal, Self, cast

import torch
from torch import Tensor, nn

from detectors.zed.entropy.logistic import Mixture
from detectors.zed.models.density import (
    MIN_LOG_SCALE,
    PLAIN,
    CodedBlock,
    DensityModel,
    StepOptions,
    Steps,
    draw_pixels,
    in_float32,
    scale_input,
)  # fmt: skip
from detectors.zed.models.pyramid import OFFSETS, subimages

CODED = 3  # Phases of the 2x2 grid that carry cost
_DILATIONS = (1, 2, 4)

Means = Literal["absolute", "residual"]


class _Residual(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1), nn.LeakyReLU(0.01), nn.Conv2d(features, features, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class _PixelDecoder(nn.Module):
    """Features of one phase, from the average, the phases known so far and the current context."""

    def __init__(self, phase: int, features: int, blocks: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(3 * (phase + 1), features, 1)
        self.body = nn.Sequential(
            *(_Residual(features) for _ in range(blocks)), nn.Conv2d(features, features, 3, padding=1)
        )
        self.tail = nn.Conv2d(features, features, 1)

    def forward(self, known: Tensor, context: Tensor | None) -> Tensor:
        h = self.head(known)
        if context is not None:
            h = h + context
        out: Tensor = self.tail(self.body(h) + h)
        return out


class _Atrous(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.atrous = nn.ModuleList(nn.Conv2d(features, features, 3, padding=d, dilation=d) for d in _DILATIONS)
        self.lin = nn.Conv2d(len(_DILATIONS) * features, outputs, 1)

    def forward(self, z: Tensor) -> Tensor:
        return in_float32(self.lin, torch.cat([conv(z) for conv in self.atrous], dim=1))


class _Classifier(nn.Module):
    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.atrous = _Atrous(features, outputs)

    def forward(self, z: Tensor) -> Tensor:
        out: Tensor = self.atrous(z)
        return out


class _Level(nn.Module):
    def __init__(self, features: int, mixtures: int, blocks: int) -> None:
        super().__init__()
        self.rgb_decs = nn.ModuleList(_PixelDecoder(i, features, blocks) for i in range(CODED))
        self.mix_logits_prob_clf = nn.ModuleList(_Classifier(features, 12 * mixtures) for _ in range(CODED))
        self.feat_convs = nn.ModuleList(nn.Conv2d(features, features, 3, padding=1) for _ in range(CODED))


class SReC(DensityModel):
    """The compressor's networks under the published parameter names, except for the two leading list indices.

    Args:
        features: Channels of every hidden layer.
        mixtures: Logistic components of each subpixel.
        blocks: Residual blocks of each pixel decoder; 3 in the published Open Images weights.
        levels: Halvings of the image.
        means: ``absolute`` is the published form, means predicted from zero. ``residual`` adds the block's average to
            them and lets channels share their deviations from it, which a short training needs.
    """

    chained = True
    lossless = True

    def __init__(
        self, features: int = 64, mixtures: int = 10, blocks: int = 3, levels: int = 3, means: Means = "absolute"
    ) -> None:
        super().__init__()
        if means not in ("absolute", "residual"):
            raise ValueError(f"means={means!r} is unknown: choose 'absolute' or 'residual'")
        self.features, self.mixtures, self.blocks, self.levels, self.means = features, mixtures, blocks, levels, means
        # coarsest first, as published; the coarsest has no context to upsample
        shuffles = (
            nn.Sequential(nn.Conv2d(features, 4 * features, 3, padding=1), nn.PixelShuffle(2))
            for _ in range(levels - 1)
        )
        self.upsamplers = nn.ModuleList([nn.Identity(), *shuffles])
        self.decoders = nn.ModuleList(_Level(features, mixtures, blocks) for _ in range(levels))
        if means == "residual":
            self._start_near_the_average()

    def networks(self) -> list[nn.Module]:
        """Decoders, classifiers and context convolutions of every level, and the upsamplers between levels."""
        inside = [part for level in self.decoders for group in level.children() for part in cast(nn.ModuleList, group)]
        return [*inside, *list(self.upsamplers)[1:]]

    def halo(self, level: int) -> int:  # noqa: ARG002 -- all levels alike
        """Rows seen on each side: three pixel decoders in a row, and the widest dilation."""
        return CODED * (2 * self.blocks + 2) + max(_DILATIONS) - 1

    def expand(self, level: int, context: Tensor) -> Tensor:
        """Upsample the coarser level's features by a convolution and a pixel shuffle."""
        out: Tensor = self.upsamplers[self.levels - 1 - level](context)
        return out

    def steps(self, level: int, x: Tensor, y: Tensor, context: Tensor | None, options: StepOptions = PLAIN) -> Steps:
        """See the base class; three blocks a level."""
        decoder = cast(_Level, self.decoders[self.levels - 1 - level])
        phases = subimages(x)
        anchor = y if self.means == "residual" else None
        for i in range(CODED):
            known = scale_input(torch.cat([y, *phases[:i]], dim=1), "tanh")
            z = decoder.rgb_decs[i](known, context)
            block = None
            if options.coded:
                raw = decoder.mix_logits_prob_clf[i](z)
                predict = partial(subpixel_mixtures, raw, temperature=options.temperature, anchor=anchor)
                if options.draw is not None:
                    phases[i] = draw_pixels(predict, phases[i], options.draw)
                block = CodedBlock(OFFSETS[i], phases[i], predict(phases[i]))
            context = decoder.feat_convs[i](z)
            yield block, context

    def _start_near_the_average(self) -> None:
        K = self.mixtures
        for module in self.modules():
            if isinstance(module, _Atrous) and module.lin.bias is not None:
                bias = module.lin.bias.data.view(4, 3, K)
                bias[1] = torch.linspace(-2.0, 2.0, K)
                bias[2] = 1.5

    @classmethod
    def from_published(cls, source: Path | Mapping[str, Tensor]) -> Self:
        """Load weights in the published layout; sizes are read off the keys and shapes.

        Args:
            source: A checkpoint file with an entry ``nets``, or that state dict itself.

        Raises:
            ValueError: If the file or its keys do not have that layout; it names the first keys that do not fit.
        """
        state = _published_state(source) if isinstance(source, Path) else dict(source)
        try:
            features = state["1.0.rgb_decs.0.head.weight"].shape[0]
            outputs = state["1.0.mix_logits_prob_clf.0.atrous.lin.weight"].shape[0]
        except KeyError as error:
            raise ValueError(f"not an SReC state dict: key {error} is missing among {len(state)}") from error
        levels = 1 + max(int(m[1]) for key in state if (m := re.match(r"1\.(\d+)\.", key)))
        inner = (re.match(r"1\.0\.rgb_decs\.0\.body\.(\d+)\.body\.0\.weight", key) for key in state)
        blocks = 1 + max((int(m[1]) for m in inner if m), default=-1)
        model = cls(features, outputs // 12, blocks, levels)
        renamed = {f"{'upsamplers' if k[:2] == '0.' else 'decoders'}.{k[2:]}": v for k, v in state.items()}
        wrong = sorted(set(renamed) ^ set(model.state_dict()))
        if wrong:
            size = f"{blocks} blocks and {levels} levels"
            raise ValueError(f"keys do not fit SReC with {size}: {wrong[:5]} ({len(wrong)} in all)")
        model.load_state_dict(renamed)
        return model


def _published_state(path: Path) -> dict[str, Tensor]:
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, dict) or "nets" not in checkpoint:
        raise ValueError(f"{path}: no entry 'nets'; expected a checkpoint written by SReC's training")
    return dict(checkpoint["nets"])


def subpixel_mixtures(raw: Tensor, value: Tensor, temperature: float = 1.0, anchor: Tensor | None = None) -> Mixture:
    """Mixtures of each subpixel given the actual channels before it (SReC section 4, after L3C).

    Args:
        raw: Network output ``[B, 12 K, h, w]``, laid out as (logit, mean, log-scale, lambda) x (R, G, B) x K.
        value: Actual pixels ``[B, 3, h, w]`` in 0..255.
        temperature: Divides the logits.
        anchor: Averages ``[B, 3, h, w]`` that means and channels are relative to; None for the published form.

    Returns:
        Parameters ``[B, 3, h, w, K]``; means within 0..255, log-scales at least -7.
    """
    B, outputs, h, w = raw.shape
    logits, mu, log_s, mix = raw.view(B, 4, 3, outputs // 12, h, w).movedim(3, -1).unbind(1)
    mix = torch.sigmoid(mix)
    R, G, _ = (value if anchor is None else value - anchor).unsqueeze(-1).unbind(1)
    means = [mu[:, 0], mu[:, 1] + mix[:, 0] * R, mu[:, 2] + mix[:, 1] * R + mix[:, 2] * G]
    mu = torch.stack(means, dim=1)
    if anchor is not None:
        mu = mu + anchor.unsqueeze(-1)
    return Mixture(logits / temperature, mu.clamp(0, 255), log_s.clamp_min(MIN_LOG_SCALE))
