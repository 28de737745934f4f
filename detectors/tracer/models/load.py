"""Official weight files → models; the size follows from the shapes of the tensors.

Files (see `sizes.FILES`) come from Hugging Face (FoundationVision/var, yucornetto/RAR, fun-research/TiTok). Each may
also be a safetensors file with the same stem.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from contracts.errors import CheckpointError, nearest
from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.sizes import (
    FAMILIES,
    FILES,
    RAR_SIZES,
    VAR_PATCH_NUMS,
    VAR_SIZES,
    RarSize,
    RarVqganSize,
    VarSize,
    VarVqvaeSize,
)
from detectors.tracer.models.state import fit_state, read_state
from detectors.tracer.models.var_transformer import VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae

Model = VarVqvae | RarVqgan | VarTransformer | RarTransformer
Shape = tuple[int, ...]


def find_file(folder: Path, name: str) -> Path:
    """The weight file of a model in a folder: the official name, or the same stem as safetensors.

    Args:
        folder: Folder of the downloaded files.
        name: ``var_vqvae``, ``rar_vqgan``, or a variant's label such as ``var16``.

    Raises:
        CheckpointError: If the name is none of these, or the file is absent; both possible file names are given.
    """
    if name not in FILES:
        raise CheckpointError(f"unknown model {name!r}", nearest(name, FILES))
    if path := _weight_file(folder, name):
        return path
    official = Path(FILES[name])
    raise CheckpointError(
        f"{folder} holds neither {official.name} nor {official.stem}.safetensors (model {name})",
        "Download the file to this folder, or leave this model out.",
    )


def available_variants(folder: Path, family: str) -> tuple[list[str], list[str]]:
    """The family's variants whose files are in a folder, and the others."""
    found = [name for name in FAMILIES[family] if _weight_file(folder, name)]
    return found, [name for name in FAMILIES[family] if name not in found]


def _weight_file(folder: Path, name: str) -> Path | None:
    official = folder / FILES[name]
    return next((path for path in (official, official.with_suffix(".safetensors")) if path.is_file()), None)


def load_model(path: Path, *, name: str | None = None) -> Model:
    """Build the model that a weight file belongs to, and load the weights.

    Args:
        path: Weight file of one of the four kinds of model, of any size.
        name: Require this published model (``var16``, ``rar_vqgan``, …).

    Returns:
        The model in eval mode, without gradients, float32, on the CPU.

    Raises:
        CheckpointError: If the kind of the file is unknown, entries are missing or unexpected, or it is not the model
            ``name``.
    """
    state = read_state(path)
    model = build(state, str(path))
    if name is not None and (kind := identify(model)) != name:
        raise CheckpointError(f"{path} holds {kind}, not {name}", "Check which file was downloaded under this name.")
    fit_state(model, state, str(path))
    return model.eval().requires_grad_(False)


def build(state: Mapping[str, Tensor], source: str) -> Model:
    """An empty model of the kind and size that a state dict belongs to.

    Raises:
        CheckpointError: If the entries that identify the four kinds are all absent.
    """
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    if "pos_1LC" in shapes:
        return VarTransformer(var_size(shapes, state.get("lvl_1L"), source))
    if "target_aware_pos_embed" in shapes:
        return RarTransformer(rar_size(shapes, source))
    if "quantize.quant_resi.qresi_ls.0.weight" in shapes:
        return VarVqvae(var_vqvae_size(shapes, source))
    if "quantize.embedding.weight" in shapes:
        codebook, latent = _shape(shapes, "quantize.embedding.weight", 2, source)
        channels = _shape(shapes, "encoder.conv_in.weight", 4, source)[0]
        return RarVqgan(RarVqganSize(channels=channels, latent=latent, codebook=codebook))
    raise CheckpointError(
        f"{source} is neither a VAR nor a RAR file; its first keys are {', '.join(list(shapes)[:3]) or 'none at all'}"
    )


def var_size(shapes: Mapping[str, Shape], levels: Tensor | None, source: str) -> VarSize:
    """Size of a VAR transformer. The scales follow from ``lvl_1L``; without it they must be the published ones."""
    _, length, width = _shape(shapes, "pos_1LC", 3, source)
    scales = _shape(shapes, "lvl_embed.weight", 2, source)[0]
    if levels is not None and not levels.is_meta:
        patch_nums = tuple(round(n**0.5) for n in torch.bincount(levels.flatten().long()).tolist())
    else:
        patch_nums = VAR_PATCH_NUMS
    if len(patch_nums) != scales or sum(n * n for n in patch_nums) != length:
        raise CheckpointError(
            f"{source} has {scales} scales and {length} tokens, which are not the scales {patch_nums}; "
            "only the 256-pixel models are supported (var_d36 is the 512-pixel one)"
        )
    if any(key.endswith("ada_gss") for key in shapes):
        raise CheckpointError(f"{source} shares its AdaLN between blocks (var_d36); only d16 to d30 are supported")
    codebook = _shape(shapes, "head.weight", 2, source)[0]
    return VarSize(
        depth=_depth(shapes),
        width=width,
        heads=_shape(shapes, "blocks.0.attn.scale_mul_1H11", 4, source)[1],
        classes=_shape(shapes, "class_emb.weight", 2, source)[0] - 1,
        codebook=codebook,
        latent=_shape(shapes, "word_embed.weight", 2, source)[1],
        patch_nums=patch_nums,
    )


def rar_size(shapes: Mapping[str, Shape], source: str) -> RarSize:
    """Size of a RAR transformer."""
    codebook, width = _shape(shapes, "lm_head.weight", 2, source)
    return RarSize(
        width=width,
        depth=_depth(shapes),
        heads=width // _shape(shapes, "blocks.0.attn.q_norm.weight", 1, source)[0],
        mlp=_shape(shapes, "blocks.0.mlp.fc1.weight", 2, source)[0],
        classes=_shape(shapes, "embeddings.weight", 2, source)[0] - codebook - 2,
        codebook=codebook,
        length=_shape(shapes, "timesteps_embeddings", 3, source)[1] - 100,
    )


def var_vqvae_size(shapes: Mapping[str, Shape], source: str) -> VarVqvaeSize:
    """Size of a VAR tokenizer. Its file states only the number of scales, so the grids are the published ones."""
    codebook, latent = _shape(shapes, "quantize.embedding.weight", 2, source)
    channels = _shape(shapes, "encoder.conv_in.weight", 4, source)[0]
    counter = shapes.get("quantize.ema_vocab_hit_SV")
    if counter is not None and counter[0] != len(VAR_PATCH_NUMS):
        # small models for tests and teaching have grids of 1, 2, 3, … tokens a side
        return VarVqvaeSize(channels, latent, codebook, tuple(range(1, counter[0] + 1)))
    return VarVqvaeSize(channels, latent, codebook)


def identify(model: Model) -> str:
    """Name of the published model with this one's size, or a description of the size."""
    published: dict[object, str] = {
        VarVqvaeSize(): "var_vqvae",
        RarVqganSize(): "rar_vqgan",
        **{size: name for name, size in VAR_SIZES.items()},
        **{size: name for name, size in RAR_SIZES.items()},
    }
    return published.get(model.size, f"an unpublished size, {model.size}")


def parameter_count(model: nn.Module) -> int:
    """Number of learnt parameters; works on the meta device."""
    return sum(p.numel() for p in model.parameters())


def _depth(shapes: Mapping[str, Shape]) -> int:
    return 1 + max((int(key.split(".")[1]) for key in shapes if key.startswith("blocks.")), default=-1)


def _shape(shapes: Mapping[str, Shape], key: str, axes: int, source: str) -> Shape:
    """Shape of an entry that determines the size of the model."""
    if key not in shapes:
        raise CheckpointError(f"{source} lacks {key}, which determines the size of the model")
    if len(shapes[key]) != axes:
        raise CheckpointError(f"{source}: {key} should have {axes} axes, but has shape {shapes[key]}")
    return shapes[key]
