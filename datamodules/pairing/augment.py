"""DDA's augmentation of both images of a pair (Chen et al., NeurIPS 2025; values of the released code).

A pair shares its random numbers, so that both of its images are degraded alike.
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from datamodules.pairing.mixing import Pixels, jpeg, median, motion, sharpened

NOISE = 55.0  # Standard deviation in levels of 0 to 255
JITTER = (0.4, 0.4, 0.4, 0.175)  # Brightness, contrast, saturation; share of the circle of hues


class PairAugment:
    """Degrades a training image before its crop.

    In this order, with these probabilities: JPEG of quality 55 to 100 (0.15), vertical flip (0.5), Gaussian noise
    (0.1), 1 to 10 % of the pixels black (0.1), one of two Gaussian blurs, a median and a motion blur (0.2), sharpening
    (0.1), colour jitter (0.2), grey (0.1). The horizontal flip is that of the view.
    """

    def __call__(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        """One image [3, H, W] of the same type; a float one (1.0 = white) is rounded to 8 bits."""
        if image.dtype != torch.uint8:
            whole = (image * 255).round().clamp(0, 255).to(torch.uint8)
            return self(whole, rng).to(image.dtype) / 255
        coded, flipped, noisy, peppered, filtered, sharp, jittered, grey = rng.random(8)
        pixels: Pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        if coded < 0.15:
            pixels = jpeg(pixels, int(rng.integers(55, 101)))
        if flipped < 0.5:
            pixels = pixels[::-1]
        if noisy < 0.1:
            noise = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(NOISE)
            pixels = np.rint(np.clip(pixels + noise, 0, 255)).astype(np.uint8)
        if peppered < 0.1:
            black = rng.random(pixels.shape[:2]) < rng.uniform(0.01, 0.1)
            pixels = np.where(black[..., None], np.uint8(0), pixels)
        pixels = np.ascontiguousarray(pixels)
        if filtered < 0.2:
            pixels = _filtered(pixels, rng)
        if sharp < 0.1:
            pixels = sharpened(pixels, float(rng.uniform(1, 3)))
        made = torch.from_numpy(np.array(pixels, order="C")).permute(2, 0, 1)  # decoded ones are read-only
        if jittered < 0.2:
            made = _jittered(made, rng)
        return v2.rgb_to_grayscale(made, num_output_channels=3) if grey < 0.1 else made


def _filtered(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """One of four filters; OpenCV derives the standard deviation of a Gaussian from its side."""
    which = int(rng.integers(4))
    if which < 2:
        side = (3, 5)[which]
        return np.asarray(cv2.GaussianBlur(pixels, (side, side), 0), np.uint8)
    return median(pixels) if which == 2 else motion(pixels, float(rng.uniform(0, 180)))


def _jittered(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue of an image [3, H, W], changed in random order."""
    *scales, turn = JITTER
    factors = [*(float(rng.uniform(1 - scale, 1 + scale)) for scale in scales), float(rng.uniform(-turn, turn))]
    changes = (v2.adjust_brightness, v2.adjust_contrast, v2.adjust_saturation, v2.adjust_hue)
    for index in rng.permutation(len(changes)).tolist():
        image = changes[index](image, factors[index])
    return image
