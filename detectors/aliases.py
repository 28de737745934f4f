"""Names of models as AI-GenBench writes them: a backbone and how it is trained in one word."""

from collections.abc import Mapping
from typing import Any

from contracts.errors import ConfigError

SUFFIXES = {"_tune": "tune", "_probe": "probe"}

ALIASES: dict[str, dict[str, Any]] = {
    "RN50": {"backbone": "open_clip/RN50:openai"},
    "clipL14commonpool": {
        "backbone": "open_clip/ViT-L-14:commonpool_xl_s13b_b90k",
        "unit_features": True,
        "head_std": 0.02,
    },
}
"""Arguments of `detectors.classifier.Classifier` for names of theirs that no library has; theirs of timm, torchvision
and DINOv2 are the libraries' own."""


def split_alias(name: str) -> tuple[str, str] | None:
    """``(model, mode)`` of a name that ends in ``_tune`` or ``_probe``, else None."""
    for suffix, mode in SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), mode
    return None


def expanded(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A classifier's arguments with a name of theirs written out.

    Args:
        arguments: of the constructor, ``backbone`` among them.

    Raises:
        ConfigError: the name says one mode and ``mode`` another that is not the default.
    """
    found = split_alias(str(arguments["backbone"]))
    if found is None:
        return dict(arguments)
    model, mode = found
    if arguments.get("mode", "tune") not in ("tune", mode):
        raise ConfigError(
            f"detector.backbone={arguments['backbone']!r} with detector.mode={arguments['mode']}",
            f"Leave detector.mode out, or write detector.backbone={model}.",
        )
    return {**arguments, "mode": mode, **ALIASES.get(model, {"backbone": model})}
