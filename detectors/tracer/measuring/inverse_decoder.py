"""The inverse decoder: an encoder retrained on decoded images to invert the frozen decoder.

Source: Zhao et al., "Data Provenance for Image Auto-Regressive Generation" (2026), equation 5 and Table A2; the
released training code for the hyperparameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from contracts.errors import CheckpointError
from detectors.base import PASSPORT
from detectors.parts.weights import find_state, read_checkpoint
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.state import fit_state
from detectors.tracer.models.tokenizer import to_uint8, to_unit
from detectors.tracer.models.var_vqvae import VarVqvae

TokenizerModel = VarVqvae | RarVqgan


def trained_modules(tokenizer: TokenizerModel) -> dict[str, nn.Module]:
    """The retrained parts: the encoder, and VAR's ``quant_conv``."""
    if isinstance(tokenizer, VarVqvae):
        return {"encoder": tokenizer.encoder, "quant_conv": tokenizer.quant_conv}
    return {"encoder": tokenizer.encoder}


def freeze_decoder(tokenizer: TokenizerModel) -> list[nn.Parameter]:
    """Enable gradients only for the retrained parts; return their parameters."""
    tokenizer.requires_grad_(False)
    trained = [p for module in trained_modules(tokenizer).values() for p in module.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    return trained


@dataclass(frozen=True)
class TrainingPair:
    """Images [B, 3, S, S] as after saving (uint8 levels, in the tokenizer's range), and their features."""

    images: Tensor
    features: Tensor


@torch.no_grad()
def generated_pair(tokenizer: TokenizerModel, tokens: Tensor) -> TrainingPair:
    """Target mode ``generated``: decode known tokens [B, L], and truncate to uint8 as for saving."""
    features = tokenizer.features(tokens)
    low, high = tokenizer.value_range
    levels = to_uint8(to_unit(tokenizer, tokenizer.decode(features)))
    return TrainingPair(levels.float() / 255 * (high - low) + low, features)


@torch.no_grad()
def roundtrip_pair(original: TokenizerModel, x: Tensor) -> TrainingPair:
    """Target mode ``roundtrip``: tokens from any image by the original encoder, then as ``generated``.

    This needs no generator, and the target is exact by construction.

    Args:
        original: With its original encoder.
        x: [B, 3, S, S] in its range.
    """
    tokens, _ = original.quantise(original.encode(x))
    return generated_pair(original, tokens)


def inverse_loss(tokenizer: TokenizerModel, pair: TrainingPair, *, seen: Tensor | None = None) -> Tensor:
    """Mean squared error between the encoded features and those the image was decoded from.

    Args:
        tokenizer: Being trained.
        pair: Clean image and target.
        seen: An augmented version of the image as the encoder's input; the target stays that of the clean image.
    """
    encoded = tokenizer.encode(pair.images if seen is None else seen)
    return (encoded - pair.features).square().mean()


def load_inverse(tokenizer: TokenizerModel, path: Path) -> None:
    """Put retrained weights into a tokenizer, in place.

    Known layouts: plain tensors (``encoder.*``, ``quant_conv.*``); the official release's (``module0.*`` the encoder,
    ``module1.*`` VAR's ``quant_conv``); nested dictionaries (``{family, encoder, quant_conv, config}``); and
    checkpoints of ``task=fit``, whose frozen parts are ignored.

    Raises:
        CheckpointError: If there is no such file, its layout is none of these, it belongs to the other family, or
            shapes differ.
    """
    state = _flattened(path)
    renamed = {"module0.": "encoder.", "module1.": "quant_conv."}
    for old, new in renamed.items():
        state = {new + key.removeprefix(old) if key.startswith(old) else key: value for key, value in state.items()}
    modules = trained_modules(tokenizer)
    parts: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
    unexpected = []
    for key, value in state.items():
        name, _, rest = key.partition(".")
        if name in parts:
            parts[name][rest] = value
        else:
            unexpected.append(key)
    if unexpected:
        raise CheckpointError(
            f"{path} holds entries unknown to the inverse decoder of a {type(tokenizer).__name__}: "
            f"{', '.join(unexpected[:5])}",
            "Check whether it is the other family's file.",
        )
    if absent := [name for name in modules if not parts[name]]:
        raise CheckpointError(
            f"{path} has no {', '.join(absent)}, which the inverse decoder of a {type(tokenizer).__name__} needs",
            "Check whether it is the other family's file.",
        )
    for name, module in modules.items():
        fit_state(module, parts[name], f"{path} ({name})")


def _flattened(path: Path) -> dict[str, Tensor]:
    """A file's tensors, with keys of nested dictionaries joined by dots; other entries (family, config) are omitted."""
    flat: dict[str, Tensor] = {}
    content = read_checkpoint(path)
    if PASSPORT in content:
        return {k: v for k, v in find_state(content, path).state.items() if k.startswith(("encoder.", "quant_conv."))}
    for key, value in content.items():
        if isinstance(value, Mapping) and key != "config":
            flat |= {f"{key}.{inner}": tensor for inner, tensor in value.items() if isinstance(tensor, Tensor)}
        elif isinstance(value, Tensor):
            flat[key] = value
    return flat
