"""Image backbones of four libraries under uniform names.

``timm/resnet18``, ``torchvision/resnet50``, ``open_clip/ViT-B-32:laion2b_s34b_b79k``, ``dino/dinov2_vits14``: a name
without prefix is searched for in dino, timm, torchvision and open_clip, in this order.
"""

import fnmatch
import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from contracts.errors import CheckpointError, ConfigError, nearest
from contracts.process.ranks import rank_zero_info
from detectors.backbones.libraries import LIBRARIES
from detectors.backbones.library import Built, Library
from detectors.backbones.pooling import check_pooling
from detectors.backbones.position_embeddings import RULES, resample_dinov2
from detectors.parts.weights import check_state, find_state, first_line, read_checkpoint


@dataclass(frozen=True, kw_only=True)
class Backbone(Built):
    """A backbone with its name and weights."""

    name: str  # full name, ``library/model``
    feature_dim: int  # measured length of a feature vector
    sha256: str | None  # hash of the weights file, if one was given


def list_backbones(pattern: str = "*") -> list[str]:
    """Full names of all backbones that match a shell-style pattern, with or without their library's prefix.

    Examples are ``"*convnext*"`` and ``"torchvision/resnet*"``.
    """
    every = [(prefix, name) for prefix, library in LIBRARIES.items() for name in library.names()]
    match = fnmatch.fnmatchcase
    return [f"{p}/{name}" for p, name in every if match(f"{p}/{name}", pattern) or match(name, pattern)]


def find_backbone(name: str) -> tuple[str, Library, str]:
    """Prefix, library and the library's name of a backbone.

    Raises:
        ConfigError: no library has it; the error suggests similar names.
    """
    prefix, slash, rest = name.partition("/")
    if slash and prefix in LIBRARIES:
        if LIBRARIES[prefix].knows(rest):
            return prefix, LIBRARIES[prefix], rest
        near = nearest(rest, LIBRARIES[prefix].names())
        raise ConfigError(f"detector.backbone={name!r}: {prefix} has no model {rest!r}", near)
    for prefix, library in LIBRARIES.items():
        if library.knows(name):
            return prefix, library, name
    near = nearest(name, [n for library in LIBRARIES.values() for n in library.names()])
    raise ConfigError(
        f"detector.backbone={name!r} is in none of {', '.join(LIBRARIES)}",
        f"{near}; to search, call list_backbones('*part*') of detectors.backbones.backbones.",
    )


def create_backbone(
    name: str,
    pretrained: bool = False,
    weights: str | Path | None = None,
    pooling: str | None = None,
    image_size: int | None = None,
    positions: str = "timm",
    frozen: bool = False,
) -> Backbone:
    """Create a backbone.

    Args:
        name: ``library/model``, or only the model's name.
        pretrained: load the library's weights, from its cache or its hub.
        weights: load published weights from this file instead (safetensors, or a pickle of tensors); a classifier or
            text tower in it is ignored, everything else must fit.
        pooling: "avg", "max", "catavgmax", for timm's transformers also "token" and "map"; None for the model's own.
        image_size: side of the images, or None for the size the weights were trained with.
        positions: rule for resampling a transformer's position embeddings to that size, see
            `position_embeddings.RULES`.
        frozen: whether it is used untrained, so that an error does not offer to train it from scratch.

    Raises:
        ConfigError: the name is unknown, or the options do not work with it.
        CheckpointError: the weights cannot be downloaded or do not fit.
    """
    check_pooling(pooling)
    if positions not in RULES:
        raise ConfigError(f"detector.positions={positions!r} is unknown", nearest(positions, RULES))
    prefix, library, model = find_backbone(name)
    full = f"{prefix}/{model}"
    if pooling not in (None, "avg") and "convnext" in model:
        warnings.warn(f"{full} normalises after average pooling: pooling=avg is used, not {pooling}", stacklevel=2)
        pooling = "avg"
    with _explain_options(full, pooling, image_size):
        if pretrained and weights is None:
            with _explain_download(full, library.source(model), frozen):
                built = library.build(model, True, pooling, image_size)
                if positions == "dinov2":
                    original = library.build(model, True, pooling, None).module.state_dict()
                    built.module.load_state_dict(with_positions(original, built.module))
        else:
            built = library.build(model, False, pooling, image_size)
        feature_dim = _feature_dim(built.module, built.image_size)
    _check_patches(full, built.module, built.image_size)
    sha256 = None
    if weights is not None:
        ambiguity = library.ambiguity(model)
        if ambiguity is not None:
            warnings.warn(f"detector.backbone={full} {ambiguity}: name the one that {weights} contains", stacklevel=2)
        found = find_state(read_checkpoint(weights), weights)
        given = with_positions(found.state, built.module) if positions == "dinov2" else found.state
        state = library.adapt(model, built.module, given)
        check_state(state, built.module.state_dict(), weights, full)
        built.module.load_state_dict(state)
        rank_zero_info(f"{weights}: read {found} for {full}")
        sha256 = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    return Backbone(**vars(built), name=full, feature_dim=feature_dim, sha256=sha256)


def with_positions(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """A state dict with timm's ``pos_embed`` resampled for a module by DINOv2's own rule.

    Raises:
        ConfigError: the module has no such embeddings.
    """
    grid = getattr(getattr(module, "patch_embed", None), "grid_size", None)
    if grid is None or "pos_embed" not in state or grid[0] != grid[1]:
        raise ConfigError("detector.positions=dinov2 without position embeddings", "Choose detector.positions=timm.")
    return {**state, "pos_embed": resample_dinov2(state["pos_embed"], int(grid[0]))}


@contextmanager
def _explain_download(name: str, source: str, frozen: bool) -> Iterator[None]:
    """Name the file to download if pretrained weights are not available."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"the pretrained weights of {name} cannot be loaded: {type(error).__name__}: {first_line(error)}",
            f"Download {source} on a machine that can reach it and give detector.weights=FILE, or copy that machine's "
            "caches ($HF_HOME, $TORCH_HOME) here"
            + ("." if frozen else ", or train from scratch with detector.pretrained=false."),
        ) from error


@contextmanager
def _explain_options(name: str, pooling: str | None, image_size: int | None) -> Iterator[None]:
    """Name the options that a library rejects; each library has its own errors for that."""
    try:
        yield
    except (TypeError, AssertionError, AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"{name} cannot be created with detector.pooling={pooling}, image size {image_size}: {first_line(error)}",
            "Choose pooling=null and the size its weights were trained with, or another backbone.",
        ) from error


def _feature_dim(module: nn.Module, image_size: int) -> int:
    """Length of a feature vector, measured on one image, since records disagree with pooling and heads."""
    training = module.training
    with torch.no_grad():
        features = module.eval()(torch.zeros(1, 3, image_size, image_size))
    module.train(training)
    if features.ndim != 2:
        raise RuntimeError(f"its output has shape {list(features.shape)}, not [B, D]")
    return int(features.shape[1])


def _check_patches(name: str, module: nn.Module, image_size: int) -> None:
    """Reject an image size of which a vision transformer would silently ignore the last rows and columns."""
    size = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    patch = size[0] if isinstance(size, tuple | list) else size
    if patch is not None and image_size % patch:
        sizes = image_size // patch * patch, (image_size // patch + 1) * patch
        raise ConfigError(
            f"detector.image_size={image_size} is not a multiple of the {patch}-pixel patches of {name}",
            f"Choose {sizes[0]} or {sizes[1]}.",
        )
