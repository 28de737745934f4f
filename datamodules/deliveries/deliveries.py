"""Deliveries by name: ``jpeg-50``, ``side-768+jpeg-60``, ``jpeg-55..95`` (a quality sampled for each image); presets.

A name is one or more steps joined by ``+``. A step is a kind of `KINDS` and, after a hyphen, its strength, or two
bounds between which each image's own generator samples it. Presets are lists of such names.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from contracts.errors import ConfigError, nearest
from contracts.view import SampleFunction
from datamodules.deliveries import steps
from datamodules.deliveries.steps import Pixels, Rng, Size


class Kind(NamedTuple):
    """A kind of step."""

    apply: steps.Step  # the step
    least: float  # smallest strength allowed
    most: float  # largest strength allowed
    whole: bool = False  # whether sampled strengths are whole numbers
    size: Callable[[int, int, float], Size] | None = None
    """Height and width from those before and the strength, in which it is monotonic; the pixels change only where the
    size does. None for a step that keeps the size."""


KINDS: dict[str, Kind] = {
    "jpeg": Kind(steps.jpeg, 1, 100, True),
    "jpeg444": Kind(steps.jpeg444, 1, 100, True),
    "webp": Kind(steps.webp, 0, 100, True),
    "avif": Kind(steps.avif, 0, 100, True),
    "resize": Kind(steps.resize, 0.01, 8, size=steps.scaled),
    "side": Kind(steps.side, 8, 65536, True, steps.limited),
    "blur": Kind(steps.blur, 0.1, 100),
    "kernel": Kind(steps.kernel, 1, 99, True),
    "noise": Kind(steps.noise, 0, 255),
    "variance": Kind(steps.variance, 0, 65025),
    "crop": Kind(steps.crop, 0.01, 1, size=steps.scaled),
    "centre": Kind(steps.centre, 0.01, 1, size=steps.scaled),
    "cut": Kind(steps.cut, 0, 99),
    "sharpen": Kind(steps.sharpen, 0, 10),
}

ALIASES = {
    "screenshot": "resize-0.5..0.95+cut-0..2+jpeg444-80..95",
    "openfake-media": "side-720..1080+jpeg-65..85",
    "messenger-1": "side-1600+jpeg-70..85",
    "messenger-2": "side-1600+jpeg-70..85+side-1280+jpeg-70..85",
    "messenger-3": "side-1600+jpeg-70..85+side-1280+jpeg-70..85+side-960+jpeg-60..80",
    "rine-all": "kernel-3..9+cut-5..20+jpeg-10..75+variance-5..20",
    "sieve-web": "side-768+jpeg-60",
    "sieve-hard": "side-512+jpeg-40",
    "chain-2": "resize-0.5..0.9+jpeg-60..90",
    "chain-3": "jpeg-70..95+crop-0.8..0.95+webp-60..90",
    "chain-4": "resize-0.5..0.9+jpeg-60..90+sharpen-0.5..1.5+jpeg-60..90",
}
"""Short names of longer deliveries. The messengers and chains are ours, the others their authors'."""


def _each(kind: str, *strengths: float) -> list[str]:
    return [f"{kind}-{strength:g}" for strength in strengths]


PRESETS: dict[str, list[str]] = {
    "grid": [
        *_each("jpeg", 95, 90, 75, 50, 30), *_each("jpeg444", 95, 90, 75, 50, 30), "jpeg-90+jpeg-70", "jpeg-50+jpeg-75",
        *_each("webp", 90, 75, 50), *_each("avif", 80, 60, 40), *_each("resize", 0.25, 0.5, 0.75, 1.5, 2),
        *_each("side", 512, 768, 1080, 2048), *_each("blur", 0.5, 1, 2), *_each("noise", 2, 5, 10),
        *_each("crop", 0.9, 0.75), "centre-0.5", "sharpen-1", "screenshot", "chain-2", "chain-3", "chain-4",
    ],
    "sidbench": [*_each("jpeg", 95, 90, 50, 30), *_each("blur", 2, 4), "blur-2+jpeg-50"],
    "openfake": [
        *_each("jpeg", 90, 75, 50, 25), "jpeg-55..95", "jpeg-55..95+jpeg-50..85", "webp-65..90", "avif-40..80",
        "openfake-media",
    ],
    "sieve_web": ["sieve-web"],
    "sieve_hard": ["sieve-hard"],
    "rine": ["kernel-3..9", "cut-5..20", "jpeg-10..75", "variance-5..20", "rine-all"],
    "imdlbenco": [
        *_each("kernel", 3, 7, 11, 15, 19, 23), *_each("variance", 3, 7, 11, 15, 19, 23),
        *_each("jpeg", 50, 60, 70, 80, 90, 100),
    ],
    "messenger": ["messenger-1", "messenger-2", "messenger-3"],
    "size_sweep": _each("side", 64, 128, 256, 512, 1024, 2048),
}  # fmt: skip
"""The lists of SIDBench, OpenFake, Sieve, RINE (after Frank et al. 2020) and IMDLBenCo; `grid` is ours."""
PRESETS["all"] = list(dict.fromkeys(name for names in PRESETS.values() for name in names))

_STEP = re.compile(r"(?P<kind>[a-z]+\d*?)-(?P<low>\d+(?:\.\d+)?)(?:\.\.(?P<high>\d+(?:\.\d+)?))?")


@dataclass(frozen=True)
class Delivery:
    """A named way of delivering an image, a `contracts.view.Sizing`."""

    name: str  # as in the tables
    steps: tuple[tuple[str, float, float], ...]  # kind, and the bounds of its strength

    def __call__(self, image: Tensor, rng: Rng) -> Tensor:
        """Image [3, H, W] uint8 → [3, h, w] uint8."""
        pixels: Pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        for kind, low, high in self.steps:
            strength = low if low == high else rng.uniform(low, high)
            if KINDS[kind].whole and low != high:
                strength = float(rng.integers(int(low), int(high) + 1))
            pixels = KINDS[kind].apply(pixels, strength, rng)
        return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)

    def size(self, height: int, width: int) -> Size | None:
        """See `contracts.view.Sizing.size`; None where it depends on a sampled strength."""
        found = height, width
        for kind, low, high in self.steps:
            after = KINDS[kind].size
            if after is not None:
                ends = {after(*found, low), after(*found, high)}
                if len(ends) > 1:
                    return None
                found = ends.pop()
        return found

    def unchanged(self, height: int, width: int) -> bool:
        """See `contracts.view.Sizing.unchanged`."""
        kinds = [(KINDS[kind].size, (low, high)) for kind, low, high in self.steps]
        return all(after and {after(height, width, end) for end in ends} == {(height, width)} for after, ends in kinds)


def delivery_family(name: str) -> tuple[str, float]:
    """Kind and strength of a delivery of one step of fixed strength, which is a point of a curve; else ("", NaN)."""
    found = _STEP.fullmatch(name)
    single = found is not None and found["kind"] in KINDS and found["high"] is None
    return (found["kind"], float(found["low"])) if found is not None and single else ("", nan)


def delivery(name: str) -> Delivery:
    """The delivery of one name.

    Raises:
        ConfigError: the name is not a delivery.
    """
    parsed = []
    for step in ALIASES.get(name, name).split("+"):
        found = _STEP.fullmatch(step)
        kind = KINDS.get(found["kind"]) if found else None
        if found is None or kind is None:
            known = (*PRESETS, *ALIASES, *(f"{key}-{entry.most:g}" for key, entry in KINDS.items()))
            raise ConfigError(
                f"{name!r} is not a delivery",
                f"{nearest(name, known)}; steps are {', '.join(KINDS)}, with a strength: side-768+jpeg-60.",
            )
        low = float(found["low"])
        high = float(found["high"] or low)
        if not kind.least <= low <= high <= kind.most:
            raise ConfigError(
                f"{name!r}: the strength of {found['kind']} is from {kind.least:g} to {kind.most:g}",
                f"Write for example {found['kind']}-{kind.most:g}, or two bounds in ascending order.",
            )
        parsed.append((found["kind"], low, high))
    return Delivery(name, tuple(parsed))


def chosen(names: Sequence[str], own: Mapping[str, SampleFunction] | None = None) -> dict[str, SampleFunction]:
    """Deliveries by name, presets expanded, each once.

    Args:
        names: names of deliveries, presets, or functions of ``own``.
        own: further deliveries, functions ``(image [3, H, W] uint8, rng) -> image``.

    Raises:
        ConfigError: a name is unknown, or a function has the name of a preset.
    """
    own = dict(own or {})
    if taken := sorted(own.keys() & PRESETS.keys()):
        raise ConfigError(f"{taken[0]!r} is the name of a preset", "Choose another name for the function.")
    wanted = [each for name in names for each in PRESETS.get(name, [name])]
    return {name: own[name] if name in own else delivery(name) for name in dict.fromkeys([*wanted, *own])}
