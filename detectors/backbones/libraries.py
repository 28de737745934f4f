"""Backbones of timm, torchvision, open_clip and the DINO family behind one interface."""

import fnmatch
import re
from collections.abc import Mapping

import torch
from torch import nn
from typing_extensions import override

from contracts.errors import ConfigError
from detectors.backbones.library import Built, Library, State, without
from detectors.backbones.pooling import GlobalPool
from detectors.backbones.position_embeddings import resample
from detectors.backbones.quick_gelu import has_quick_gelu
from detectors.backbones.timm_library import Dino, Timm, translated


class Torchvision(Library):
    """torchvision's classification models without their last linear layer."""

    AUXILIARY = ("googlenet", "inception_v3", "squeezenet*")
    """Models with several outputs in training, or without a linear classifier."""

    @override
    def names(self) -> list[str]:
        from torchvision import models

        every = models.list_models(module=models)
        return [n for n in every if not any(fnmatch.fnmatch(n, pattern) for pattern in self.AUXILIARY)]

    @override
    def build(self, name: str, pretrained: bool, pooling: str | None, image_size: int | None) -> Built:
        from torchvision import models

        record = models.get_model_weights(name).DEFAULT
        preset = record.transforms()
        fixed = name.startswith("vit_")
        size = image_size if image_size is not None else int(preset.crop_size[0])
        module: nn.Module = models.get_model(name, weights=None, **({"image_size": size} if fixed else {}))
        module.set_submodule(self._classifier(module), nn.Identity())
        if pooling not in (None, "avg"):
            if not isinstance(getattr(module, "avgpool", None), nn.AdaptiveAvgPool2d):
                raise ConfigError(
                    f"detector.pooling={pooling} does not work with torchvision/{name}", "Choose pooling=avg."
                )
            module.avgpool = GlobalPool(str(pooling))
        if pretrained:
            state = torch.hub.load_state_dict_from_url(
                record.url, map_location="cpu", check_hash=True, weights_only=True
            )
            module.load_state_dict(self.adapt(name, module, state))
        return Built(module, preset.mean, preset.std, size, fixed)

    @override
    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        renamed = {re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", k): v for k, v in state.items()}
        wanted = module.state_dict()  # the expression above is torchvision's own, for its older files of DenseNets
        return resample(without(renamed, self.heads(name), wanted), wanted)

    @override
    def heads(self, name: str) -> tuple[str, ...]:
        from torchvision import models

        with torch.device("meta"):
            return (self._classifier(models.get_model(name, weights=None)),)

    @override
    def source(self, name: str) -> str:
        from torchvision import models

        return str(models.get_model_weights(name).DEFAULT.url)

    def _classifier(self, module: nn.Module) -> str:
        linear: list[str] = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
        return linear[-1]


class OpenClip(Library):
    """open_clip's image towers, ``ViT-B-32:laion2b_s34b_b79k``: the projected embedding is the feature."""

    @override
    def names(self) -> list[str]:
        import open_clip

        return [*open_clip.list_models(), *(f"{name}:{tag}" for name, tag in open_clip.list_pretrained())]

    @override
    def build(self, name: str, pretrained: bool, pooling: str | None, image_size: int | None) -> Built:
        import open_clip

        model, _, tag = name.partition(":")
        if pretrained and not tag:
            tags = ", ".join(open_clip.list_pretrained_tags_by_model(model)) or "none"
            raise ConfigError(
                f"detector.backbone=open_clip/{name} does not name pretrained weights",
                f"Write open_clip/{model}:TAG with one of {tags}.",
            )
        if pooling is not None:
            raise ConfigError(f"detector.pooling={pooling} does not work with open_clip/{name}", "Choose pooling=null.")
        record = open_clip.get_pretrained_cfg(model, tag) if tag else {}
        by_name = bool(open_clip.get_model_config(model).get("quick_gelu", False))
        forced = bool(record.get("quick_gelu", False)) and not by_name
        made = open_clip.create_model(
            model,
            pretrained=tag if pretrained else None,
            force_image_size=image_size,
            force_quick_gelu=forced,
            weights_only=True,
        )
        size = made.visual.image_size
        return Built(
            made.visual,
            record.get("mean", open_clip.OPENAI_DATASET_MEAN),
            record.get("std", open_clip.OPENAI_DATASET_STD),
            int(size[0] if isinstance(size, tuple) else size),
            fixed_size=True,
            quick_gelu=forced and has_quick_gelu(made.visual),  # ResNets and timm's towers have no such activation
        )

    @override
    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        tower = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
        tower = resample(tower or state, module.state_dict())
        trunk = getattr(module, "trunk", None)  # a timm model
        if trunk is None:
            return tower
        inner = {key.removeprefix("trunk."): value for key, value in tower.items() if key.startswith("trunk.")}
        fitted = translated(type(trunk).__module__, "", trunk, inner)
        return {k: v for k, v in tower.items() if k not in {f"trunk.{i}" for i in inner}} | {
            f"trunk.{key}": value for key, value in fitted.items()
        }

    @override
    def heads(self, name: str) -> tuple[str, ...]:
        return ()

    @override
    def ambiguity(self, name: str) -> str | None:
        import open_clip

        model, _, tag = name.partition(":")
        if tag or open_clip.get_model_config(model).get("quick_gelu", False):
            return None
        tags = open_clip.list_pretrained_tags_by_model(model)
        quick = [t for t in tags if open_clip.get_pretrained_cfg(model, t).get("quick_gelu")]
        if not quick:
            return None
        named = ", ".join(f"{model}:{t}" for t in quick)
        return f"names no weights and is built with GELU; {named} were trained with QuickGELU"

    @override
    def source(self, name: str) -> str:
        import open_clip

        model, _, tag = name.partition(":")
        record = open_clip.get_pretrained_cfg(model, tag)
        hub = str(record.get("hf_hub", "")).rstrip("/")
        return str(record.get("url") or f"https://huggingface.co/{hub}/resolve/main/open_clip_model.safetensors")


LIBRARIES: Mapping[str, Library] = {
    "dino": Dino(),
    "timm": Timm(),
    "torchvision": Torchvision(),
    "open_clip": OpenClip(),
}
"""Libraries by prefix, in the order in which they are searched for a name without prefix."""
