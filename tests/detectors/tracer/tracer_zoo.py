"""A folder of tiny untrained siblings whose likelihoods differ, and images of theirs."""

from pathlib import Path

import torch

from detectors.tracer.measuring.zoo import save_zoo
from detectors.tracer.siblings import Sibling, Siblings

SIBLINGS = {
    "var_s": Sibling("var", 1, 32, {"cfg": 1.5, "top_k": 0, "top_p": 0.0}),
    "var_m": Sibling("var", 1, 64, {"cfg": 1.0, "top_k": 6, "top_p": 0.0}),
    "rar_s": Sibling("rar", 1, 32, {"guidance": 2.0}),
    "rar_m": Sibling("rar", 1, 64, {"guidance": 1.0, "temperature": 0.8}),
}
SIDE = 2
IMAGE = 16 * SIDE


def siblings(seed: int = 0, classes: int = 4, codebook: int = 16) -> Siblings:
    """Weights drawn large enough that tokens are far from uniform."""
    torch.manual_seed(seed)
    net = Siblings(SIBLINGS, SIDE, codebook, classes)
    generator = torch.Generator().manual_seed(seed)
    for model in net.variants.values():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "scale_mul" not in name:
                torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    net.place_codes(torch.rand(8, 3, IMAGE, IMAGE, generator=generator), generator)
    return net.eval()


def zoo(folder: Path, seed: int = 0) -> Path:
    """Written as ``task=generate`` exports them."""
    net = siblings(seed)
    tokenizers = {family: net.tokenizer(family) for family in net.tokenizers}
    save_zoo(folder, tokenizers, {name: (net.variant(name), s.sampling_settings) for name, s in SIBLINGS.items()}, SIDE)
    return folder
