"""The chains of evaluation and training written plainly, with global generators: oracle and yardstick.

They follow the description of the original step by step with torchvision's transforms: every generator is seeded for
every image, PIL images become float tensors after the noise, and JPEG steps convert to uint8 and back. Their pixels
must equal those of `benchmarks.ai_genbench.images`, which takes none of these detours.
"""

import io
import random

import cv2
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from benchmarks.ai_genbench.protocol.seeds import position_seed


def seed_everything(seed):
    torch.manual_seed(seed)
    cv2.setRNGSeed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the original seeds the global generators
    random.seed(seed)


def fires(probability):
    return bool(torch.rand(1) < probability)


def jpeg(image, qualities=(50, 101)):
    codec, quality = random.choice(["cv2", "pil"]), min(100, random.choice(qualities))
    tensor = isinstance(image, torch.Tensor)
    if tensor:
        array = (image * 255).to(torch.int32).bitwise_and(255).to(torch.uint8).permute(1, 2, 0).numpy()
    else:
        array = np.array(image)
    if codec == "cv2":
        _, data = cv2.imencode(".jpg", cv2.cvtColor(array, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        array = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    else:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "JPEG", quality=quality)
        array = np.array(Image.open(buffer).convert("RGB"))
    return F.to_dtype(F.to_image(array), torch.uint8).float().div(255) if tensor else Image.fromarray(array)


def noise(array, seed, probability=0.3, stds=(0.015, 0.075)):
    private, generator = random.Random(seed), np.random.default_rng(seed)
    if private.random() >= probability:
        return array
    std = private.uniform(*stds)
    cv2.setRNGSeed(int(generator.integers(0, 2**16)))
    values = np.zeros(array.shape)
    cv2.randn(values, np.zeros(3, np.float32), std * np.ones(3, np.float32))
    values = values.astype(np.float32) * 255
    total = cv2.add(array.astype(np.float32), np.trunc(values).astype(np.float32))
    return np.clip(total, 0, 255).astype(np.uint8)


def size_crop(image, maximum_size):
    width, height = image.size
    if width <= maximum_size and height <= maximum_size:
        return image
    w, h = min(width, maximum_size), min(height, maximum_size)
    left = int(torch.randint(0, width - w, ())) if width > w else 0
    top = int(torch.randint(0, height - h, ())) if height > h else 0
    return F.crop(image, top, left, h, w)


def plain_chain(image, position, maximum_size=1080):
    """PIL image to PIL image (after Lanczos) or float tensor [3, H, W]."""
    seed = position_seed(position)
    seed_everything(seed)
    image = size_crop(image, maximum_size)
    if fires(0.1):
        image = F.to_grayscale(image, 3)
    if fires(0.5):
        image = jpeg(image)
    image = noise(np.array(image), seed)
    image = F.to_image(image).float().div(255)
    if fires(0.2):
        image = jpeg(image)
    if fires(0.25):
        side = random.randint(256, 512)
        mode = random.choice(
            [v2.InterpolationMode.BILINEAR, v2.InterpolationMode.BICUBIC, v2.InterpolationMode.LANCZOS]
        )
        if mode == v2.InterpolationMode.LANCZOS:
            image = F.to_pil_image(image)
        crop = v2.RandomResizedCrop(side, (0.5, 1.0), (0.9, 1 / 0.9), mode, antialias=True)
        image = crop(image)
    if fires(0.1):
        image = jpeg(image)
    return image


def plain_input(image, size=224):
    """What a model sees under the cropping `resize`: [3, size, size], CLIP-normalised."""
    image = F.resize(image, [size, size], antialias=True)
    image = F.to_dtype(F.to_image(image), torch.float32, scale=True)
    return F.normalize(image, [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])


def plain_training(image, row, pipeline, turn_seed=0, size=224):
    """PIL image to the float tensor [3, size, size] of the training pipeline `baseline` or `soft`, before normalising.

    Rotation and mirroring are seeded by `turn_seed`; the original takes that seed from the operating system's entropy.
    """
    values = plain_chain(image, row) if pipeline == "soft" else plain_baseline(image, row)
    torch.manual_seed(turn_seed)
    random.seed(turn_seed)
    values = F.rotate(values, random.choice([0, 90, 180, 270]), expand=True) if fires(1) else values
    values = F.resize(v2.RandomHorizontalFlip(0.5)(values), [size, size], antialias=True)
    return F.to_dtype(F.to_image(values), torch.float32, scale=True)


def plain_baseline(image, row, maximum_size=1080):
    """PIL image to float tensor [3, H, W]: the deterministic part of `baseline`."""
    seed = position_seed(row)
    seed_everything(seed)
    image = size_crop(image, maximum_size)
    image = v2.RandomApply([v2.RandomResizedCrop(256)], 0.2)(image)
    image = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8)(image)
    array = np.array(v2.RandomGrayscale(0.2)(image))
    private, generator = random.Random(seed), np.random.default_rng(seed)
    if private.random() < 0.2:
        array = array.copy()
        height, width = (int(generator.integers(1, min(48, side) + 1, size=1)[0]) for side in array.shape[:2])
        top, left = (
            int(generator.integers(0, side - part + 1, size=1)[0])
            for side, part in zip(array.shape[:2], (height, width), strict=True)
        )
        array[top : top + height, left : left + width] = 128
    image = F.to_image(noise(array, seed, 0.2, (0.2, 0.44))).float().div(255)
    if fires(0.5):
        sigma = 3 * random.random()
        planes = F.to_dtype(image, torch.uint8, scale=True).numpy()
        image = torch.from_numpy(np.stack([gaussian_filter(plane, sigma) for plane in planes])).float().div(255)
    if fires(0.5):
        image = jpeg(image, range(30, 101))
    return image
