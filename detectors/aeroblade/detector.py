"""AEROBLADE (Ricker et al., CVPR 2024, arXiv 2401.17879) as a detector without training."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Unpack, cast

import torch
import torch.nn.functional as F
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn

from contracts.batch import Batch, as_unit_float
from contracts.errors import CheckpointError, ConfigError, DataError
from contracts.view import Sides, View
from contracts.words import counted
from detectors.aeroblade.lpips_maps import LpipsMaps
from detectors.backbones.frozen import Frozen
from detectors.base import Scores, Training
from detectors.parts.passes import FittedOnce, measured
from detectors.parts.precision import tf32_only_if_allowed
from detectors.parts.slices import in_slices
from detectors.tracer.models.load import load_model
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.tokenizer import from_unit, to_uint8, to_unit
from detectors.tracer.models.var_vqvae import VarVqvae
from detectors.zed.calibration import calibrate

Reconstruct = Callable[[Tensor], Tensor]  # Unit-range images [B, 3, H, W] → their reconstructions by an autoencoder


class Tokenizer(nn.Module):
    """Reconstructs images with a VAR or RAR tokenizer.

    Args:
        path: weights of a tokenizer of any size.

    Raises:
        CheckpointError: the file holds another model.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        model = load_model(Path(path))
        if not isinstance(model, VarVqvae | RarVqgan):
            raise CheckpointError(
                f"{path} holds a {type(model).__name__}, not a tokenizer", "Give var_vqvae or rar_vqgan."
            )
        self.model = model

    def forward(self, unit: Tensor) -> Tensor:
        """[B, 3, S, S] → the same, S the tokenizer's own size."""
        tokens = self.model.quantise(self.model.encode(from_unit(self.model, unit)))[0]
        return to_unit(self.model, self.model.decode(self.model.features(tokens)))


class AerobladeNet(nn.Module):
    """Autoencoders and LPIPS, which checkpoints omit, and the logit's centre and spread."""

    def __init__(self, autoencoders: Mapping[str, nn.Module], lpips: LpipsMaps) -> None:
        super().__init__()
        self.autoencoders = Frozen(nn.ModuleDict(autoencoders))
        self.lpips = Frozen(lpips)
        self.register_buffer("line", torch.tensor([0.0, 1.0], dtype=torch.float64))


class Aeroblade(FittedOnce):
    """The smallest LPIPS distance between an image and its reconstructions.

    ``task=fit`` trains nothing: one pass over the validation images sets the logit's scale, so that 5 % of real images
    lie above 0. Reconstructions are rounded to 8 bits as published, by truncation.

    Args:
        autoencoders: name → weights of a tokenizer of `detectors.tracer`, or a module that maps unit-range images
            [B, 3, H, W] to their reconstructions. Names become columns of the dump and titles of maps.
        vgg: weights of VGG16 (torchvision's ``vgg16-397923af.pth``), or of the whole of LPIPS.
        linear: LPIPS's linear weights; None for those of ``vgg`` or of the package ``lpips``.
        layer: layer of VGG16, 1 to 5; 0 for the sum, which is LPIPS itself.
        half: round maps and their means to float16, as for the published tables.
        train_view: see `Detector`; not used.
        eval_view: size policy of evaluated images: the native size, or a crop if an autoencoder takes only one size.
        training: see `Detector`; there is nothing to optimise.

    Raises:
        ConfigError: no autoencoder, tokenizers for images of different sizes, or an unknown layer.
        CheckpointError: weights that cannot be read or do not fit.
    """

    net: AerobladeNet
    map_unit = "LPIPS distance"

    def __init__(
        self,
        autoencoders: Mapping[str, str | Path | nn.Module],
        vgg: str | Path,
        linear: str | Path | None = None,
        layer: int = 2,
        half: bool = False,
        train_view: View | None = None,
        eval_view: View | None = None,
        **training: Unpack[Training],
    ) -> None:
        if not autoencoders:
            raise ConfigError("detector.autoencoders is empty", "Give weights by name, e.g. {var: var_vqvae.pth}.")
        view = eval_view or View()
        super().__init__(train_view or view, view, **(Training(channels_last=False) | training))
        lpips = LpipsMaps(layer)
        lpips.load(vgg, linear)
        made = {n: a if isinstance(a, nn.Module) else Tokenizer(a) for n, a in autoencoders.items()}
        sides = {name: one.model.image_size for name, one in made.items() if isinstance(one, Tokenizer)}
        if len(set(sides.values())) > 1:
            raise ConfigError(
                f"detector.autoencoders take images of different sizes: {sides}",
                "Give tokenizers of one size, each size in an experiment of its own.",
            )
        self.net = AerobladeNet(made, lpips)
        self.half_precision = half

    def distance_maps(self, images: Tensor) -> dict[str, Tensor]:
        """Distances [B, h, w] of images [B, 3, H, W], uint8 or on the unit range, to each reconstruction."""
        unit = as_unit_float(images).clamp(0, 1)  # a benchmark's resizing overshoots
        lpips = cast(LpipsMaps, self.net.lpips.module)
        autoencoders = cast(nn.ModuleDict, self.net.autoencoders.module)
        return {name: lpips(unit, to_uint8(each(unit)).float() / 255) for name, each in autoencoders.items()}

    @torch.no_grad()
    def distances(self, images: Tensor) -> Tensor:
        """Mean distance of images [B, 3, H, W] to each reconstruction, [B, autoencoders] float64."""

        def each(part: Tensor) -> Tensor:
            maps = self.distance_maps(part).values()
            if self.half_precision:
                return torch.stack([values.half().mean((1, 2)) for values in maps], 1).double()
            return torch.stack([values.double().mean((1, 2)) for values in maps], 1)

        with tf32_only_if_allowed():
            return in_slices(each, images, fours=True)

    def score(self, batch: Batch) -> Scores:
        """One logit per crop, from the smallest distance; every distance is a column of the dump."""
        distances = self.distances(batch.images)
        centre, spread = self.net.get_buffer("line")
        names = cast(nn.ModuleDict, self.net.autoencoders.module).keys()
        columns = {f"distance_{name}": distances[:, k].float() for k, name in enumerate(names)}
        return Scores(((-distances.amin(1) - centre) / spread).float(), columns)

    @torch.no_grad()
    def maps(self, image: Tensor) -> dict[str, Tensor]:
        """Distance of every pixel to each reconstruction, [H, W]; all pixels of one layer position share a value."""
        found = self.distance_maps(image[None].to(self.device))
        size = image.shape[-2:]
        return {name: F.interpolate(values[None], size)[0, 0].float().cpu() for name, values in found.items()}

    def sides(self) -> Sides:
        """The tokenizers' image size, if there are any, and at least one position of the layer."""
        exact = {
            each.model.image_size
            for each in cast(nn.ModuleDict, self.net.autoencoders.module).values()
            if isinstance(each, Tokenizer)
        }
        layer = cast(LpipsMaps, self.net.lpips.module).layer or 5
        return Sides(1 << (layer - 1), exact.pop() if exact else None, "a tokenizer takes only one size")

    def on_train_start(self) -> None:
        """Sets the logit's scale on the real validation images.

        Raises:
            DataError: there are fewer than two, or their distances are nearly all equal.
        """
        loader = self.trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        distances, labels = measured(self.trainer, loader, lambda batch: self.distances(batch.images))
        real = -distances[labels == 0].amin(1)
        found = calibrate(real.tolist())
        if found is None:
            said = counted(len(real), "real validation image")
            raise DataError(f"{said} do not determine the spread of distances", "Give more images that differ.")
        self.net.get_buffer("line").copy_(torch.tensor(found))
        rank_zero_info(f"Aeroblade: distances of {counted(len(real), 'real validation image')} set the scale")
