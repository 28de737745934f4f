"""Pairs of a real image and a reconstruction of it, as training images of any detector."""

import io
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from contracts.errors import ConfigError, DataError
from contracts.files import write_atomically
from contracts.names import given_path
from contracts.versioned_folder import versioned_folder
from contracts.view import Encoded
from datamodules.auditing.jpeg_tables import jpeg_tables
from datamodules.pairing.mixing import KERNELS, Pixels, frequency_mix, jpeg, pixel_mix, rebuilt, resized

LIBRARIES = ("numpy", "pillow", "torch")  # Packages on which reconstructions depend


class Autoencoder(Protocol):
    """Reconstructs images, for example `detectors.tracer.autoencoders.Tokenizer`."""

    exact: int | None  # the only side of images it takes, or None
    multiple: int  # both sides must be multiples of it
    settings: dict[str, Any]  # all that its reconstructions depend on, in plain containers

    def __call__(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] from -1 to 1 → reconstructions of that range."""
        ...


class Pair:
    """Replaces training images by pairs of a real image and a reconstruction that differ in nothing else.

    Generated images of the training split are left out. Reconstructions are made once and kept by the content of the
    image. Each image is seen as a pair: the reconstruction gets the real image's JPEG quality, is mixed with it, and
    both get the same view with the same random numbers. The order is that of DDA (Chen et al., NeurIPS 2025).

    Args:
        autoencoders: autoencoders that reconstruct images; one of them is chosen for each look at an image.
        folder: where reconstructions are kept.
        p_jpeg: probability that a reconstruction of a JPEG is compressed with its quality.
        p_pixel: probability of a mix of pixels.
        p_frequency: probability of a mix of spectra.
        r_pixel: largest share of the reconstruction in the former.
        r_frequency: largest share of the real image in the latter.
        scaled: add a smaller and a larger copy of both, which makes six images of one.
        missing_quality: JPEG quality for reconstructions of images that are not JPEG; None for no compression. The
            original takes 96, and with its published layout takes it for every image.
        truncate: truncate to integers where the original does; otherwise round.

    Raises:
        ConfigError: a value out of range.
    """

    def __init__(
        self,
        autoencoders: Sequence[Autoencoder],
        folder: str | Path = "pairs",
        p_jpeg: float = 0.5,
        p_pixel: float = 0.2,
        p_frequency: float = 0.2,
        r_pixel: float = 0.8,
        r_frequency: float = 0.8,
        scaled: bool = True,
        missing_quality: int | None = None,
        truncate: bool = False,
    ) -> None:
        if not autoencoders:
            raise ConfigError(
                "datamodule.pair.autoencoders is empty",
                "Set it to '[{_target_: detectors.tracer.autoencoders.Tokenizer, weights: FILE}]', in quotes.",
            )
        shares = {"p_jpeg": p_jpeg, "p_pixel": p_pixel, "p_frequency": p_frequency}
        for name, value in {**shares, "r_pixel": r_pixel, "r_frequency": r_frequency}.items():
            if not 0 <= value <= 1:
                raise ConfigError(f"datamodule.pair.{name}={value}", "Give a number from 0 to 1.")
        if missing_quality is not None and not 1 <= missing_quality <= 100:
            raise ConfigError(f"datamodule.pair.missing_quality={missing_quality}", "Give 1 to 100, or null.")
        self.autoencoders = list(autoencoders)
        self.folder = given_path(folder)
        self.p_jpeg, self.p_pixel, self.p_frequency = p_jpeg, p_pixel, p_frequency
        self.r_pixel, self.r_frequency, self.scaled = r_pixel, r_frequency, scaled
        self.missing_quality, self.truncate = missing_quality, truncate
        self.folders: list[Path] = []

    def __getstate__(self) -> dict[str, Any]:
        """The state without networks: workers only read reconstructions that are on disk."""
        return {**self.__dict__, "autoencoders": []}

    def prepare(self, images: Callable[[int], tuple[Encoded, Tensor]], count: int, device: torch.device) -> None:
        """Make the reconstructions that are not kept yet.

        Args:
            images: gives an image by number as it is stored, and decoded.
            count: number of images.
            device: device of the autoencoders.
        """
        self.folders = [
            versioned_folder(
                self.folder, {**a.settings, "truncate": self.truncate}, LIBRARIES, "datamodule.pair.folder"
            )
            for a in self.autoencoders
        ]
        for number in range(count):
            try:
                stored, decoded = images(number)
            except DataError:
                continue  # it will be reported where it is read for training
            for autoencoder, folder in zip(self.autoencoders, self.folders, strict=True):
                file = folder / f"{_content(stored)}.png"
                if not file.exists() and min(decoded.shape[-2:]) >= (autoencoder.exact or autoencoder.multiple):
                    buffer = io.BytesIO()
                    Image.fromarray(self._rebuilt(_array(decoded), autoencoder, device)[1]).save(buffer, "PNG")
                    write_atomically(file, buffer.getvalue())

    def made(self, stored: Encoded, decoded: Tensor, rng: np.random.Generator) -> list[tuple[int, Tensor]]:
        """Labels and images [3, H, W] uint8 of one look at a real image, by the generator of the image and epoch.

        Raises:
            DataError: there is no reconstruction, because the image is too small.
        """
        file = self.folders[int(rng.integers(len(self.folders)))] / f"{_content(stored)}.png"
        if not file.exists():
            raise DataError(f"{decoded.shape[2]}x{decoded.shape[1]} pixels are too small for the autoencoder of a pair")
        fake = np.asarray(Image.open(file))
        real = _central(_array(decoded), *fake.shape[:2])
        chance = rng.random(3)
        quality = _quality(stored) or self.missing_quality
        if chance[0] < self.p_jpeg and quality is not None:
            fake = jpeg(fake, quality)
        mixes = [
            name
            for name, p, c in (("pixel", self.p_pixel, chance[1]), ("frequency", self.p_frequency, chance[2]))
            if c < p
        ]
        for name in rng.permutation(mixes).tolist():
            if name == "pixel":
                share, kernel = rng.random() * self.r_pixel, KERNELS[int(rng.integers(len(KERNELS)))]
                fake = pixel_mix(real, fake, share, kernel, self.truncate)
            else:
                fake = frequency_mix(real, fake, rng.random() * self.r_frequency)
        both = [(0, real), (1, fake)]
        if self.scaled:
            height, width = real.shape[:2]
            for factor, kernel in zip(rng.uniform((0.2, 1), (1, 3.5)), rng.permutation(KERNELS).tolist(), strict=False):
                sides = (max(1, int(width * factor)), max(1, int(height * factor)))
                both += [(label, resized(image, *sides, kernel)) for label, image in both[:2]]
        return [(label, torch.from_numpy(image.copy()).permute(2, 0, 1)) for label, image in both]

    def _rebuilt(self, real: Pixels, autoencoder: Autoencoder, device: torch.device) -> tuple[Pixels, Pixels]:
        if autoencoder.exact is not None:
            real = _central(real, autoencoder.exact, autoencoder.exact)

        def through(x: NDArray[np.float32]) -> NDArray[np.float32]:
            one = torch.from_numpy(x).permute(2, 0, 1)[None].to(device)
            made: NDArray[np.float32] = _on(autoencoder, device)(one)[0].permute(1, 2, 0).float().cpu().numpy()
            return made

        return rebuilt(real, through, autoencoder.multiple, self.truncate)


def _on(autoencoder: Autoencoder, device: torch.device) -> Autoencoder:
    model = getattr(autoencoder, "model", None)
    if isinstance(model, torch.nn.Module):
        model.to(device)
    return autoencoder


def _array(image: Tensor) -> Pixels:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def _central(image: Pixels, height: int, width: int) -> Pixels:
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def _content(stored: Encoded) -> str:
    data = stored if isinstance(stored, bytes) else np.ascontiguousarray(stored).tobytes() + str(stored.shape).encode()
    return blake2b(data, digest_size=16).hexdigest()


def _quality(stored: Encoded) -> int | None:
    """Quality of the IJG's nearest tables of a JPEG; None of anything else."""
    if not isinstance(stored, bytes) or not stored.startswith(b"\xff\xd8"):
        return None
    with Image.open(io.BytesIO(stored)) as image:
        found = jpeg_tables(getattr(image, "quantization", {}))
    return found.nearest if found else None
