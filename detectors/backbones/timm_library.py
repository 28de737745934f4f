"""timm's backbones, and the DINO family under its authors' names."""

import inspect
import sys
import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn
from typing_extensions import override

from detectors.backbones.library import Built, Library, State, without
from detectors.parts.normalise import IMAGENET_MEAN, IMAGENET_STD

TRANSLATORS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")
"""Names of the functions in timm's model files that convert published state dicts."""

WITHOUT_NOTE = ("timm/vit_base_patch16_clip_224.dfn2b",)
"""Weights trained with QuickGELU, as open_clip's record of them says and timm's does not (1.0.31)."""


class Timm(Library):
    """timm: ``resnet18``, ``vit_small_patch14_dinov2.lvd142m``, and deprecated names that it still accepts."""

    @override
    def names(self) -> list[str]:
        import timm

        return [*timm.list_models(), *(name for name in timm.list_models(pretrained=True) if "." in name)]

    @override
    def knows(self, name: str) -> bool:
        import timm
        from timm.models import is_model

        return bool(is_model(name)) and ("." not in name or name in timm.list_models(pretrained=True))

    @override
    def build(self, name: str, pretrained: bool, pooling: str | None, image_size: int | None) -> Built:
        import timm

        record = self._record(name)
        fixed = bool(record.get("fixed_input_size", False))
        options: dict[str, Any] = {} if pooling is None else {"global_pool": pooling}
        forced = natively_quick_gelu(record) and "quickgelu" not in name
        if forced:
            options["act_layer"] = "quick_gelu"
        if fixed and image_size is not None:
            options["img_size"] = image_size
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mapping deprecated model name", UserWarning)
            module = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
        size = image_size if image_size is not None else int(record.get("input_size", (3, 224, 224))[-1])
        return Built(module, record.get("mean", IMAGENET_MEAN), record.get("std", IMAGENET_STD), size, fixed, forced)

    @override
    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        import timm

        wanted = module.state_dict()
        own = without(state, self.heads(name), wanted)
        if own.keys() == wanted.keys() and all(own[key].shape == wanted[key].shape for key in wanted):
            return own
        entry = timm.models.model_entrypoint(self._record(name).get("architecture") or name.partition(".")[0])
        return without(translated(entry.__module__, name, module, state), self.heads(name), wanted)

    @override
    def heads(self, name: str) -> tuple[str, ...]:
        heads = self._record(name).get("classifier") or ()
        return (heads,) if isinstance(heads, str) else tuple(heads)

    @override
    def ambiguity(self, name: str) -> str | None:
        import timm

        model, _, tag = name.partition(".")
        if tag or "_clip_" not in model:
            return None
        records = {full: self._record(full) for full in timm.list_models(f"{model}.*", pretrained=True)}
        quick = [full for full, record in records.items() if natively_quick_gelu(record)]
        own = natively_quick_gelu(self._record(name))
        if own and len(quick) < len(records):
            other = sorted(records.keys() - set(quick))
            return f"names no weights and is built with QuickGELU; {', '.join(other)} were trained with GELU"
        if quick and not own:
            return f"names no weights and is built with GELU; {', '.join(quick)} were trained with QuickGELU"
        return None

    @override
    def source(self, name: str) -> str:
        record = self._record(name)
        if record.get("hf_hub_id"):
            return f"https://huggingface.co/{record['hf_hub_id']}/resolve/main/model.safetensors"
        return str(record.get("url") or "its authors (timm has no weights of it)")

    def _record(self, name: str) -> Mapping[str, Any]:
        import timm
        from timm.models import get_deprecated_models

        current = get_deprecated_models().get(name) or name
        record: Any = timm.get_pretrained_cfg(current, allow_unregistered=True)
        return {} if record is None else dict(record.to_dict())


def natively_quick_gelu(record: Mapping[str, Any]) -> bool:
    """Whether pretrained weights were trained with QuickGELU, by timm's notes on them or by `WITHOUT_NOTE`."""
    return record.get("hf_hub_id") in WITHOUT_NOTE or any(
        "natively quickgelu" in note.lower() for note in record.get("notes") or ()
    )


def translated(source: str, name: str, module: nn.Module, state: State) -> State:
    """Convert a state dict as timm's own loader does.

    timm's model files convert the keys of a model's authors (DINOv2's ``mask_token`` and ``register_tokens``, CLIP's
    towers, older names) and resample patch and position embeddings of another size.

    Args:
        source: timm's module that defines the model.
        name: the model's name; a few have special resampling rules.
        module: the model.
        state: the published state dict.

    Returns:
        The converted state dict, or the original one if timm cannot convert it: a comparison of keys then names the
        differences.
    """
    found = (getattr(sys.modules[source], function, None) for function in TRANSLATORS)
    translate = next((function for function in found if function is not None), None)
    if translate is None:
        return state
    options: dict[str, Any] = {}
    if source.endswith(".deit"):
        options["adapt_layer_scale"] = True
    if "flexi" in name or "radio" in name:
        options |= {"interpolation": "bilinear", "antialias": False}
    if "radio" in name:
        options["align_corners"] = any(size in name for size in ("base_patch16_radio_v3", "huge_patch16_radio_v3"))
    given = (dict(state), module)[: len(inspect.signature(translate).parameters)]  # some take only the state dict
    try:
        return dict(translate(*given, **options))
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return state


class Dino(Timm):
    """timm's DINOv2 and DINOv3 under their authors' names: ``dinov2_vits14``, ``dinov3_vitb16``."""

    ALIASES: Mapping[str, str] = {
        **{
            f"dinov2_vit{letter}14{'_reg' if registers else ''}": f"vit_{size}_patch14{registers}_dinov2.lvd142m"
            for letter, size in {"s": "small", "b": "base", "l": "large", "g": "giant"}.items()
            for registers in ("", "_reg4")
        },
        **{
            f"dinov3_vit{letter}16": f"vit_{size}_patch16_dinov3.lvd1689m"
            for letter, size in {
                "s": "small", "splus": "small_plus", "b": "base", "l": "large", "hplus": "huge_plus", "7b": "7b",
            }.items()
        },
        **{f"dinov3_convnext_{size}": f"convnext_{size}.dinov3_lvd1689m" for size in ("tiny", "small", "base")},
        "dinov3_convnext_large": "convnext_large.dinov3_lvd1689m",
    }  # fmt: skip

    @override
    def names(self) -> list[str]:
        return list(self.ALIASES)

    @override
    def knows(self, name: str) -> bool:
        return name in self.ALIASES

    @override
    def build(self, name: str, pretrained: bool, pooling: str | None, image_size: int | None) -> Built:
        return super().build(self.ALIASES[name], pretrained, pooling, image_size)

    def _record(self, name: str) -> Mapping[str, Any]:
        return super()._record(self.ALIASES.get(name, name))
