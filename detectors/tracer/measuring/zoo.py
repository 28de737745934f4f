"""A folder of weights → its tokenizers and variants: the published files, or models of one's own."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from contracts.errors import CheckpointError, ConfigError, nearest
from detectors.tracer.measuring.inverse_decoder import TokenizerModel, load_inverse
from detectors.tracer.measuring.likelihood import Sampling, TokenModel
from detectors.tracer.models.load import available_variants, find_file, identify, load_model
from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.sizes import (
    FAMILIES,
    FILES,
    RAR_SAMPLING,
    VAR_SAMPLING,
    RarSampling,
    RarVqganSize,
    VarSampling,
)
from detectors.tracer.models.var_transformer import VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae

ZOO = "zoo.json"
TOKENIZERS = {"var": "var_vqvae", "rar": "rar_vqgan"}
SAMPLINGS: dict[str, type[VarSampling] | type[RarSampling]] = {"var": VarSampling, "rar": RarSampling}


@dataclass(frozen=True)
class Variant:
    """One generator: its family, its weight file, and its sampling settings."""

    name: str
    family: str
    path: Path
    sampling: Sampling


@dataclass(frozen=True)
class Zoo:
    """Contents of a folder of weights."""

    tokenizers: dict[str, Path]  # family → weight file
    variants: tuple[Variant, ...]  # in the order of the classes
    absent: tuple[str, ...] = ()  # published variants whose files are absent
    side: int = RarVqganSize.side  # grid of RAR's tokens, which no weight file states; the published one by default

    @classmethod
    def of(cls, folder: Path) -> "Zoo":
        """Find the models in a folder.

        Models of one's own are listed in ``zoo.json`` (see :func:`save_zoo`) and stored as ``<name>.safetensors``;
        without this list, files with the published names are used. A family needs its tokenizer and at least one
        variant.

        Raises:
            CheckpointError: if there is no such folder, or neither family is complete.
        """
        if not folder.is_dir():
            raise CheckpointError(f"detector.weights={folder}: no such folder", "Set it to the folder of weight files.")
        if (folder / ZOO).is_file():
            return cls._own(folder)
        variants, absent, tokenizers = [], [], {}
        for family in FAMILIES:
            found, missing = available_variants(folder, family)
            absent += missing
            if not found:
                continue
            tokenizers[family] = find_file(folder, TOKENIZERS[family])
            published: Mapping[str, Sampling] = VAR_SAMPLING if family == "var" else RAR_SAMPLING
            variants += [Variant(name, family, find_file(folder, name), published[name]) for name in found]
        if not variants:
            known = ", ".join(FILES.values())
            raise CheckpointError(
                f"{folder} holds no weights of the tracer",
                f"Put some of these files there: {known}; or a list of your own models, {ZOO}.",
            )
        return cls(tokenizers, tuple(variants), tuple(absent))

    @classmethod
    def _own(cls, folder: Path) -> "Zoo":
        file = folder / ZOO
        try:
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            listed: dict[str, Any] = content["variants"]
            variants = tuple(
                Variant(
                    name, about["family"], folder / f"{name}.safetensors",
                    SAMPLINGS[about["family"]](**about.get("sampling", {})),
                )
                for name, about in listed.items()
            )  # fmt: skip
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{file} is not a list of variants: {error!r}",
                'Write {"variants": {"name": {"family": "var" or "rar", "sampling": {…}}}}.',
            ) from error
        tokenizers = {v.family: folder / f"{TOKENIZERS[v.family]}.safetensors" for v in variants}
        for path in (*tokenizers.values(), *(v.path for v in variants)):
            if not path.is_file():
                raise CheckpointError(
                    f"{file} lists {path.stem}, but {path} does not exist", "Add the file, or remove the entry."
                )
        return cls(tokenizers, variants, side=int(content.get("side", RarVqganSize.side)))

    @property
    def names(self) -> tuple[str, ...]:
        """Variants in order."""
        return tuple(variant.name for variant in self.variants)

    def family(self, name: str) -> tuple[Variant, ...]:
        """The variants of a family."""
        return tuple(variant for variant in self.variants if variant.family == name)

    def smallest(self, name: str) -> Variant:
        """The family's variant with the smallest file."""
        return min(self.family(name), key=lambda variant: variant.path.stat().st_size)

    def only(self, names: list[str]) -> "Zoo":
        """The same with only some of the variants.

        Raises:
            ConfigError: if one of them is absent.
        """
        for name in names:
            if name not in self.names:
                raise ConfigError(f"detector.variants: {name!r} is not among the weights", nearest(name, self.names))
        kept = tuple(variant for variant in self.variants if variant.name in names)
        families = {variant.family for variant in kept}
        return replace(self, tokenizers={f: p for f, p in self.tokenizers.items() if f in families}, variants=kept)

    def tokenizer(self, family: str, inverse: Path | None = None) -> TokenizerModel:
        """A family's tokenizer in eval mode on the CPU, with the inverse decoder as its encoder if given."""
        path = self.tokenizers[family]
        model = load_model(path)
        if not isinstance(model, VarVqvae if family == "var" else RarVqgan):
            raise CheckpointError(f"{path} holds {identify(model)}, not the tokenizer of family {family}")
        if isinstance(model, RarVqgan):
            model.size = replace(model.size, side=self.side)
        if inverse is not None:
            load_inverse(model, inverse)
        return model

    def model(self, variant: Variant) -> TokenModel:
        """A variant in eval mode on the CPU."""
        published = variant.path.stem.replace("_d", "").replace("_", "") == variant.name
        model = load_model(variant.path, name=variant.name if published else None)
        if not isinstance(model, VarTransformer if variant.family == "var" else RarTransformer):
            raise CheckpointError(f"{variant.path} holds {identify(model)}, not a variant of family {variant.family}")
        return model


def save_zoo(
    folder: Path, tokenizers: Mapping[str, nn.Module], variants: Mapping[str, tuple[nn.Module, Any]], side: int
) -> None:
    """Write models of one's own in the layout of :meth:`Zoo.of`."""
    folder.mkdir(parents=True, exist_ok=True)
    for family, tokenizer in tokenizers.items():
        _save(tokenizer, folder / f"{TOKENIZERS[family]}.safetensors")
    listed = {}
    for name, (model, sampling) in variants.items():
        _save(model, folder / f"{name}.safetensors")
        family = "var" if isinstance(sampling, VarSampling) else "rar"
        listed[name] = {"family": family, "sampling": asdict(sampling)}
    (folder / ZOO).write_text(json.dumps({"side": side, "variants": listed}, indent=1) + "\n", encoding="utf-8")


def file_key(path: Path) -> str:
    """Short hash of a weight file's content, for the names of cached results."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()[:16]


def _save(model: nn.Module, path: Path) -> None:
    state = {key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    safetensors.torch.save_file(state, path)
