"""Autoencoders that reconstruct a real image: the tracer's tokenizers, or a VAE of diffusers."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contracts.errors import CheckpointError, ConfigError
from contracts.names import given_path
from detectors.tracer.measuring.zoo import file_key
from detectors.tracer.models.load import load_model
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.tokenizer import from_unit, to_unit
from detectors.tracer.models.var_vqvae import VarVqvae


class Tokenizer:
    """The tokenizer of VAR or RAR, for images of its own size.

    Args:
        weights: weights file, as published or exported by ``task=generate``.
        side: tokens per side of a RAR tokenizer that you trained; its file does not state them.

    Raises:
        CheckpointError: the file holds no tokenizer.
    """

    def __init__(self, weights: str, side: int | None = None) -> None:
        path = given_path(weights)
        model = load_model(path)
        if not isinstance(model, VarVqvae | RarVqgan):
            raise CheckpointError(f"{path} holds no tokenizer", "Give the tokenizer's file, not a transformer's.")
        if isinstance(model, RarVqgan) and side is not None:
            model.size = replace(model.size, side=side)
        self.model: VarVqvae | RarVqgan = model.eval().requires_grad_(False)
        self.exact: int | None = model.image_size
        self.multiple = model.image_size
        self.settings: dict[str, Any] = {"kind": type(model).__name__, "weights": file_key(path), "size": self.exact}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, 3, S, S] from -1 to 1 → reconstructions of that range."""
        inside = from_unit(self.model, (images + 1) / 2)
        decoded = self.model.decode(self.model.quantise(self.model.encode(inside))[1])
        return to_unit(self.model, decoded) * 2 - 1


class DiffusersVae:
    """A variational autoencoder of diffusers in a local folder; the mean of its posterior is decoded.

    Args:
        folder: folder with ``config.json`` and weights, e.g. the ``vae`` of Stable Diffusion.

    Raises:
        ConfigError: diffusers is absent, or the folder holds no such model.
    """

    def __init__(self, folder: str) -> None:
        try:
            from diffusers import AutoencoderKL  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise ConfigError("a VAE of diffusers needs diffusers", "pip install diffusers.") from error
        path = given_path(folder)
        try:
            model: nn.Module = AutoencoderKL.from_pretrained(path, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} holds no VAE of diffusers: {str(error)[:200]}", "Give its folder.") from error
        self.model = model.eval().requires_grad_(False)
        self.exact: int | None = None
        self.multiple = 8
        files = sorted(Path(path).glob("*"))
        digest = sha256(b"".join(sha256(file.read_bytes()).digest() for file in files if file.is_file())).hexdigest()
        self.settings: dict[str, Any] = {"kind": "diffusers", "weights": digest}

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] from -1 to 1, sides multiples of 8 → reconstructions of that range."""
        model: Any = self.model
        decoded: Tensor = model.decode(model.encode(images).latent_dist.mode()).sample
        return decoded
