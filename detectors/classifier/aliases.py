"""AI-GenBench's names of models, which combine a backbone and a training mode."""

from collections.abc import Mapping
from typing import Any

from contracts.errors import ConfigError

SUFFIXES = {"_tune": "tune", "_probe": "probe"}

OPEN_CLIP = {
    "clipL14openai": "ViT-L-14:openai",
    "clipL14laion400m": "ViT-L-14:laion400m_e32",
    "clipL14laion2B": "ViT-L-14:laion2b_s32b_b82k",
    "clipL14datacomp": "ViT-L-14:datacomp_xl_s13b_b90k",
    "clipL14commonpool": "ViT-L-14:commonpool_xl_s13b_b90k",
    "clipaL14datacomp": "ViT-L-14-CLIPA:datacomp1b",
    "cocaL14laion2B": "coca_ViT-L-14:laion2b_s13b_b90k",
    "clipg14laion2B": "ViT-g-14:laion2b_s34b_b88k",
    "eva2L14merged2b": "EVA02-L-14:merged2b_s4b_b131k",
    "eva2B16merged8b": "EVA02-B-16:merged2b_s8b_b131k",
}
"""AI-GenBench's names of CLIP-like models and open_clip's. The former are Cozzolino et al.'s ("Raising the Bar of
AI-generated Image Detection with CLIP", CVPR Workshops 2024), who use a linear layer on features of unit length."""

ALIASES: dict[str, dict[str, Any]] = {
    "RN50": {"backbone": "open_clip/RN50:openai"},
    **{
        word: {"backbone": f"open_clip/{name}", "unit_features": True, "head_std": 0.02}
        for word, name in OPEN_CLIP.items()
    },
}
"""Arguments of `Classifier` for names of AI-GenBench that no library has; for timm, torchvision and DINOv2 it uses the
libraries' own names."""


def split_alias(name: str) -> tuple[str, str] | None:
    """``(model, mode)`` of a name that ends in ``_tune`` or ``_probe``; None for others."""
    for suffix, mode in SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), mode
    return None


def expanded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A classifier's arguments, with a name of AI-GenBench replaced by what it stands for.

    Raises:
        ConfigError: the name contradicts ``mode``.
    """
    found = split_alias(str(arguments["backbone"]))
    if found is None:
        return dict(arguments)
    model, mode = found
    if arguments.get("mode", "tune") not in ("tune", mode):
        raise ConfigError(
            f"detector.backbone={arguments['backbone']!r} with detector.mode={arguments['mode']}",
            f"Omit detector.mode, or write detector.backbone={model}.",
        )
    return {**arguments, "mode": mode, **ALIASES.get(model, {"backbone": model})}
