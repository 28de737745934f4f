"""The eight published generators and their two tokenizers, as data.

Sources: FoundationVision/VAR (models/__init__.py, demo_sample.ipynb) and bytedance/1d-tokenizer (configs/, README).
"""

from dataclasses import dataclass

VAR_PATCH_NUMS = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)


@dataclass(frozen=True)
class VarSampling:
    """How VAR samples a token: guidance, then top-k, then top-p, at temperature 1. Zero disables a filter."""

    cfg: float = 1.5
    top_k: int = 900
    top_p: float = 0.96


@dataclass(frozen=True)
class RarSampling:
    """How RAR samples a token: a power-cosine guidance schedule and a temperature, no filter."""

    guidance: float = 4.0
    temperature: float = 1.0
    power: float = 0.0


@dataclass(frozen=True)
class VarVqvaeSize:
    """Shape of the multi-scale VQVAE; images are ``16 * patch_nums[-1]`` pixels a side."""

    channels: int = 160
    latent: int = 32
    codebook: int = 4096
    patch_nums: tuple[int, ...] = VAR_PATCH_NUMS


@dataclass(frozen=True)
class VarSize:
    """Shape of one VAR transformer: ``depth`` heads of 64 channels each."""

    depth: int
    width: int
    heads: int
    classes: int = 1000
    codebook: int = 4096
    latent: int = 32
    patch_nums: tuple[int, ...] = VAR_PATCH_NUMS


@dataclass(frozen=True)
class RarVqganSize:
    """Shape of the MaskGIT-VQGAN; images are ``16 * side`` pixels a side."""

    channels: int = 128
    latent: int = 256
    codebook: int = 1024
    side: int = 16


@dataclass(frozen=True)
class RarSize:
    """Shape of one RAR transformer."""

    width: int
    depth: int
    heads: int
    mlp: int
    classes: int = 1000
    codebook: int = 1024
    length: int = 256


VAR_SIZES: dict[str, VarSize] = {
    f"var{depth}": VarSize(depth=depth, width=64 * depth, heads=depth) for depth in (16, 20, 24, 30)
}
RAR_SIZES: dict[str, RarSize] = {
    "rarb": RarSize(width=768, depth=24, heads=16, mlp=3072),
    "rarl": RarSize(width=1024, depth=24, heads=16, mlp=4096),
    "rarxl": RarSize(width=1280, depth=32, heads=16, mlp=5120),
    "rarxxl": RarSize(width=1408, depth=40, heads=16, mlp=6144),
}
VAR_SAMPLING: dict[str, VarSampling] = {name: VarSampling() for name in VAR_SIZES}
RAR_SAMPLING: dict[str, RarSampling] = {
    "rarb": RarSampling(guidance=16.0, temperature=1.0, power=2.75),
    "rarl": RarSampling(guidance=15.5, temperature=1.02, power=2.5),
    "rarxl": RarSampling(guidance=6.9, temperature=1.02, power=1.5),
    "rarxxl": RarSampling(guidance=8.0, temperature=1.02, power=1.2),
}
FILES: dict[str, str] = {
    "var_vqvae": "vae_ch160v4096z32.pth",
    **{f"var{depth}": f"var_d{depth}.pth" for depth in (16, 20, 24, 30)},
    "rar_vqgan": "maskgit-vqgan-imagenet-f16-256.bin",
    **{f"rar{letter}": f"rar_{letter}.bin" for letter in ("b", "l", "xl", "xxl")},
}
FAMILIES: dict[str, tuple[str, ...]] = {"var": tuple(VAR_SIZES), "rar": tuple(RAR_SIZES)}
OUTLIER = "outlier"
LABELS: tuple[str, ...] = (*VAR_SIZES, *RAR_SIZES, OUTLIER)


def scale_lengths(patch_nums: tuple[int, ...]) -> tuple[int, ...]:
    """Tokens of each scale, ``n²`` for a scale of ``n × n``."""
    return tuple(n * n for n in patch_nums)
