"""The inverse decoder: an encoder retrained to undo the frozen decoder exactly, on images which that decoder made.

Source: Zhao et al., "Data Provenance for Image Auto-Regressive Generation" (2026), equation 5 and Table A2; the
released training code for the hyperparameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from contracts.errors import CheckpointError
from detectors.base import PASSPORT
from detectors.parts.weights import read_checkpoint, state_of
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.state import fit_state
from detectors.tracer.models.tokenizer import to_uint8, to_unit
from detectors.tracer.models.var_vqvae import VarVqvae

TokenizerModel = VarVqvae | RarVqgan


@dataclass(frozen=True)
class InverseDecoderSettings:
    """Published hyperparameters: Adam without weight decay, the rate times 0.9 every two epochs, no clipping."""

    epochs: int
    batch: int
    lr: float
    step_epochs: int = 2
    decay: float = 0.9


VAR_SETTINGS = InverseDecoderSettings(epochs=10, batch=16, lr=5e-5)
RAR_SETTINGS = InverseDecoderSettings(epochs=50, batch=8, lr=5e-4)


def trained_modules(tokenizer: TokenizerModel) -> dict[str, nn.Module]:
    """The parts that are retrained: the encoder, and VAR's ``quant_conv``."""
    if isinstance(tokenizer, VarVqvae):
        return {"encoder": tokenizer.encoder, "quant_conv": tokenizer.quant_conv}
    return {"encoder": tokenizer.encoder}


def freeze_decoder(tokenizer: TokenizerModel) -> list[nn.Parameter]:
    """Let only the retrained parts have gradients; return their parameters."""
    tokenizer.requires_grad_(False)
    trained = [p for module in trained_modules(tokenizer).values() for p in module.parameters()]
    for parameter in trained:
        parameter.requires_grad_(True)
    return trained


@dataclass(frozen=True)
class TrainingPair:
    """Images as a saved file would hold them (uint8 levels, tokenizer's range) [B, 3, S, S], and their features."""

    images: Tensor
    features: Tensor


@torch.no_grad()
def generated_pair(tokenizer: TokenizerModel, tokens: Tensor) -> TrainingPair:
    """Target mode ``generated``: the image that known tokens [B, L] decode to, truncated to uint8 as savers do."""
    features = tokenizer.features(tokens)
    low, high = tokenizer.value_range
    levels = to_uint8(to_unit(tokenizer, tokenizer.decode(features)))
    return TrainingPair(levels.float() / 255 * (high - low) + low, features)


@torch.no_grad()
def roundtrip_pair(original: TokenizerModel, x: Tensor) -> TrainingPair:
    """Target mode ``roundtrip``: tokens from any image by the original encoder, then as ``generated``.

    Needs no generator at all, and the target is exact by construction.

    Args:
        original: With its original encoder.
        x: [B, 3, S, S] in its range.
    """
    tokens, _ = original.quantise(original.encode(x))
    return generated_pair(original, tokens)


def inverse_loss(tokenizer: TokenizerModel, pair: TrainingPair, *, seen: Tensor | None = None) -> Tensor:
    """Mean square between the features encoded from the image and those it was decoded from.

    Args:
        tokenizer: Being trained.
        pair: Clean image and target.
        seen: An augmented version of the image for the encoder to see; the target stays the clean one's.
    """
    encoded = tokenizer.encode(pair.images if seen is None else seen)
    return (encoded - pair.features).square().mean()


def inverse_state(tokenizer: TokenizerModel) -> dict[str, Tensor]:
    """The retrained weights alone, under ``encoder.*`` and ``quant_conv.*``."""
    return {
        f"{name}.{key}": value.detach().cpu().contiguous()
        for name, module in trained_modules(tokenizer).items()
        for key, value in module.state_dict().items()
    }


def save_inverse(tokenizer: TokenizerModel, path: Path) -> None:
    """Write the retrained weights as safetensors."""
    safetensors.torch.save_file(inverse_state(tokenizer), path)


def load_inverse(tokenizer: TokenizerModel, path: Path) -> None:
    """Put retrained weights into a tokenizer, in place.

    Known layouts: ours (``encoder.*``, ``quant_conv.*``); the official release's (``module0.*`` the encoder,
    ``module1.*`` VAR's ``quant_conv``); nested dictionaries (``{family, encoder, quant_conv, config}``); and
    checkpoints of ``task=fit``, whose frozen parts are passed over.

    Raises:
        CheckpointError: If there is no such file, its layout is none of these, it is the other family's, or
            shapes differ.
    """
    state = _flattened(path)
    renamed = {"module0.": "encoder.", "module1.": "quant_conv."}
    for old, new in renamed.items():
        state = {new + key.removeprefix(old) if key.startswith(old) else key: value for key, value in state.items()}
    modules = trained_modules(tokenizer)
    parts: dict[str, dict[str, Tensor]] = {name: {} for name in modules}
    strangers = []
    for key, value in state.items():
        name, _, rest = key.partition(".")
        if name in parts:
            parts[name][rest] = value
        else:
            strangers.append(key)
    if strangers:
        raise CheckpointError(
            f"{path} holds entries that a {type(tokenizer).__name__}'s inverse decoder has not: "
            f"{', '.join(strangers[:5])}; the other family's file?"
        )
    if absent := [name for name in modules if not parts[name]]:
        raise CheckpointError(
            f"{path} has no {', '.join(absent)}, which a {type(tokenizer).__name__}'s inverse decoder needs; "
            "the other family's file?"
        )
    for name, module in modules.items():
        fit_state(module, parts[name], f"{path} ({name})")


def _flattened(path: Path) -> dict[str, Tensor]:
    """A file's tensors, nested dictionaries joined by dots; entries that are no tensors (family, config) left out."""
    flat: dict[str, Tensor] = {}
    content = read_checkpoint(path)
    if PASSPORT in content:
        return {k: v for k, v in state_of(content, path).items() if k.startswith(("encoder.", "quant_conv."))}
    for key, value in content.items():
        if isinstance(value, Mapping) and key != "config":
            flat |= {f"{key}.{inner}": tensor for inner, tensor in value.items() if isinstance(tensor, Tensor)}
        elif isinstance(value, Tensor):
            flat[key] = value
    return flat
