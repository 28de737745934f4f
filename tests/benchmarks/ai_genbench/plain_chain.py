"""The evaluation chain written plainly, with torchvision's transforms and global generators: oracle and yardstick.

It follows the description of the original step by step: every generator is seeded for every image, PIL images become
float tensors after the noise, and JPEG steps convert to uint8 and back. Its pixels must equal those of
`benchmarks.ai_genbench.images.degrade`, which takes none of these detours.
"""

import io
import random

import cv2
import numpy as np
import torch
from PIL import Image
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


def jpeg(image):
    codec, quality = random.choice(["cv2", "pil"]), min(100, random.choice([50, 101]))
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


def noise(array, seed):
    private, generator = random.Random(seed), np.random.default_rng(seed)
    if private.random() >= 0.3:
        return array
    std = private.uniform(0.015, 0.075)
    cv2.setRNGSeed(int(generator.integers(0, 2**16)))
    values = np.zeros(array.shape)
    cv2.randn(values, np.zeros(3, np.float32), std * np.ones(3, np.float32))
    values = values.astype(np.float32) * 255
    total = cv2.add(array.astype(np.float32), np.trunc(values).astype(np.float32))
    return np.clip(total, 0, 255).astype(np.uint8)


def plain_chain(image, position, maximum_size=1080):
    """PIL image to PIL image (after Lanczos) or float tensor [3, H, W]."""
    seed = position_seed(position)
    seed_everything(seed)
    width, height = image.size
    if width > maximum_size or height > maximum_size:
        w, h = min(width, maximum_size), min(height, maximum_size)
        left = int(torch.randint(0, width - w, ())) if width > w else 0
        top = int(torch.randint(0, height - h, ())) if height > h else 0
        image = F.crop(image, top, left, h, w)
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
