"""Backbones of timm, torchvision, open_clip and the DINO family, each behind the same four questions."""

import fnmatch
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from contracts.errors import ConfigError
from detectors.normalise import IMAGENET_MEAN, IMAGENET_STD, Channels
from detectors.pooling import GlobalPool

State = dict[str, Tensor]


@dataclass(frozen=True)
class Built:
    """A backbone as its library makes it.

    Attributes:
        module: normalised images [B, 3, H, W] → features [B, D].
        mean: of each channel, the library's record.
        std: of each channel, the library's record.
        image_size: side of the square it was made for.
        fixed_size: whether it takes images of that size alone.
    """

    module: nn.Module
    mean: Channels
    std: Channels
    image_size: int
    fixed_size: bool


class Library(ABC):
    """What is asked of each library."""

    @abstractmethod
    def names(self) -> list[str]:
        """All model names, without the library's prefix."""

    @abstractmethod
    def build(self, name: str, pretrained: bool, pooling: str | None, image_size: int | None) -> Built:
        """Make a model without its classifier; raises the library's own errors."""

    @abstractmethod
    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        """A state dict as published, classifier and all, → the module's own keys."""

    @abstractmethod
    def source(self, name: str) -> str:
        """Where the pretrained weights come from: a URL, or words."""

    def knows(self, name: str) -> bool:
        """Whether `build` accepts the name."""
        return name in self.names()


class Timm(Library):
    """timm: ``resnet18``, ``vit_small_patch14_dinov2.lvd142m``, and the old names it still translates."""

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
        if fixed and image_size is not None:
            options["img_size"] = image_size
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Mapping deprecated model name", UserWarning)
            module = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
        size = image_size if image_size is not None else int(record.get("input_size", (3, 224, 224))[-1])
        return Built(module, record.get("mean", IMAGENET_MEAN), record.get("std", IMAGENET_STD), size, fixed)

    @override
    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        wanted = module.state_dict().keys()
        if not wanted <= state.keys():  # a file in its authors' own form, which timm's model file may translate
            translate = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
            state = dict(translate(state, module)) if translate is not None else state
        heads = self._record(name).get("classifier", ())
        return _without(state, (heads,) if isinstance(heads, str) else heads, wanted)

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


class Dino(Timm):
    """DINOv2 and DINOv3 under their authors' names, ``dinov2_vits14``, ``dinov3_vitb16``, made by timm."""

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


class Torchvision(Library):
    """torchvision's classification models: the last linear layer is taken off."""

    AUXILIARY = ("googlenet", "inception_v3", "squeezenet*")
    """Several outputs in training, or no linear classifier."""

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
        from torchvision import models

        with torch.device("meta"):
            return _without(
                state, (self._classifier(models.get_model(name, weights=None)),), module.state_dict().keys()
            )

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
                f"detector.backbone=open_clip/{name} does not say which weights",
                f"Write open_clip/{model}:TAG with one of {tags}.",
            )
        if pooling is not None:
            raise ConfigError(f"detector.pooling={pooling} does not work with open_clip/{name}", "Choose pooling=null.")
        made = open_clip.create_model(
            model, pretrained=tag if pretrained else None, force_image_size=image_size, weights_only=True
        )
        record = open_clip.get_pretrained_cfg(model, tag) if tag else {}
        size = made.visual.image_size
        return Built(
            made.visual,
            record.get("mean", open_clip.OPENAI_DATASET_MEAN),
            record.get("std", open_clip.OPENAI_DATASET_STD),
            int(size[0] if isinstance(size, tuple) else size),
            fixed_size=True,
        )

    @override
    def adapt(self, name: str, module: nn.Module, state: State) -> State:
        tower = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
        return tower or state

    @override
    def source(self, name: str) -> str:
        import open_clip

        model, _, tag = name.partition(":")
        record = open_clip.get_pretrained_cfg(model, tag)
        hub = str(record.get("hf_hub", "")).rstrip("/")
        return str(record.get("url") or f"https://huggingface.co/{hub}/resolve/main/open_clip_model.safetensors")


def _without(state: State, heads: Any, wanted: Any) -> State:
    """A state dict less the entries of the named parts, unless the module wants them."""
    gone: Callable[[str], bool] = lambda key: any(key.startswith(f"{head}.") for head in heads)  # noqa: E731
    return {key: value for key, value in state.items() if key in wanted or not gone(key)}


LIBRARIES: Mapping[str, Library] = {
    "dino": Dino(),
    "timm": Timm(),
    "torchvision": Torchvision(),
    "open_clip": OpenClip(),
}
"""By prefix, in the order in which a name without prefix is looked for."""
