"""The tracer: one pass an image and variant, parallel scoring, exact token search."""

import torch
from torch import Tensor

from bench.table import Row, rate
from bench.timing import interleaved, pick
from detectors.tracer.coordinate_descent import coordinate_descent, scale_maps
from detectors.tracer.likelihood import log_likelihood
from detectors.tracer.passes import encode_pass, variant_pass
from detectors.tracer.quantise import algorithm_3, hard_error
from detectors.tracer.rar_transformer import RarTransformer
from detectors.tracer.sizes import RarSize, VarSampling, VarSize, VarVqvaeSize
from detectors.tracer.tokenizer import from_unit
from detectors.tracer.var_quantiser import VarQuantiser
from detectors.tracer.var_transformer import KeyValueCache, VarTransformer
from detectors.tracer.var_vqvae import VarVqvae

VARIANTS = 4
SCALES = (1, 2, 3)


def measure() -> list[Row]:
    """All three comparisons, on small models with random weights."""
    torch.manual_seed(0)
    return [_four_variants(), _parallel(), _token_search()]


@torch.no_grad()
def _four_variants() -> Row:
    """All evidence of four variants: once through each model, against once for every score and image."""
    count = pick(2, 8)
    vqvae = VarVqvae(VarVqvaeSize(32, 8, 64, SCALES)).eval()
    variants = [VarTransformer(VarSize(d, 64, 2, 10, 64, 8, SCALES)).eval() for d in range(2, 2 + VARIANTS)]
    images = torch.rand(count, 3, vqvae.image_size, vqvae.image_size)
    labels = torch.zeros(count, 1, dtype=torch.int64)

    def straightforward() -> Tensor:
        """The originals' order: membership features and PRADA each encode, and run condition and null, for each."""
        found = []
        for image in images.split(1):  # type: ignore[no-untyped-call]
            encode_pass(vqvae, image)
            for model in variants:
                for _ in ("membership", "prada"):
                    tokens, _ = vqvae.quantise(vqvae.encode(from_unit(vqvae, image)))
                    fed = vqvae.quantize.teacher_input(tokens)
                    for label in (0, model.null_label):
                        lp = model(torch.tensor([label]), fed).log_softmax(-1)
                        found.append(lp.gather(-1, tokens[..., None]).sum())
        return torch.stack(found)

    def ours() -> Tensor:
        tokens = encode_pass(vqvae, images).tokens
        fed = vqvae.quantize.teacher_input(tokens)
        prior = torch.zeros(count, 1)
        return torch.stack(
            [variant_pass(m, tokens, labels, prior, VarSampling(), teacher_input=fed).lp.sum() for m in variants]
        )

    torch.testing.assert_close(straightforward().sum() / 2, ours().sum(), rtol=1e-3, atol=1e-2)
    timings = interleaved({"straightforward": straightforward, "ours": ours}, pick(1, 3))
    way = f"{VARIANTS} VAR variants, {vqvae.image_size}² pixels, {count} images"
    note = "against: encode for every score, image by image, condition and null apart"
    return rate("tracer", way, timings["straightforward"], timings["ours"], count, target=4.0, note=note)


@torch.no_grad()
def _parallel() -> Row:
    """RAR's likelihood: all tokens at once against the token-by-token loop with a key-value cache."""
    length, count = pick(64, 256), 1
    model = RarTransformer(RarSize(width=64, depth=4, heads=4, mlp=256, classes=10, codebook=256, length=length)).eval()
    tokens, label = torch.randint(256, (count, length)), torch.zeros(count, dtype=torch.int64)

    def loop() -> Tensor:
        cache, total = KeyValueCache(), torch.zeros(count)
        for i in range(length):
            logits = model.step(label, i, tokens[:, i - 1] if i else None, cache)
            total += logits.log_softmax(-1).gather(-1, tokens[:, i, None])[:, 0]
        return total

    def parallel() -> Tensor:
        return log_likelihood(model, tokens, label[:, None])[:, 0]

    torch.testing.assert_close(loop(), parallel(), rtol=1e-4, atol=1e-3)
    timings = interleaved({"loop": loop, "parallel": parallel}, pick(1, 5))
    return rate(
        "tracer", f"RAR, {length} tokens, one image", timings["loop"], timings["parallel"], count, target=20.0,
        note="against the cached loop; values agree to 1e-3",
    )  # fmt: skip


def _token_search() -> Row:
    """Coordinate descent against Algorithm 3's 1,200 steps."""
    scales = pick((1, 2, 3, 4), (1, 2, 3, 4, 5, 6))
    quantiser = VarQuantiser(pick(64, 512), 16, scales).requires_grad_(False)
    # codes on the scale of what they explain, as training makes them
    quantiser.embedding.weight.mul_(torch.linspace(0.1, 1.0, len(quantiser.embedding.weight))[:, None])
    f = torch.randn(1, 16, scales[-1], scales[-1])
    stages = len(scales) - len(scales) // 2 + 1
    steps = pick(20, 1200 // stages)
    maps = scale_maps(quantiser)
    found: dict[str, Tensor] = {}

    def icm() -> None:
        found["icm"] = coordinate_descent(quantiser, f, maps=maps)

    def soft() -> None:
        found["soft"] = algorithm_3(quantiser, f, steps=steps)[0]

    timings = interleaved({"soft": soft, "icm": icm}, pick(1, 2))
    error = {name: float(hard_error(quantiser, f, tokens)) for name, tokens in found.items()}
    note = f"against Algorithm 3, {stages} × {steps} steps; hard MSE {error['icm']:.4f} against {error['soft']:.4f}"
    return rate(
        "tracer", f"icm, {len(scales)} scales, {len(quantiser.embedding.weight)} codes", timings["soft"],
        timings["icm"], 1, target=50.0, note=note,
    )  # fmt: skip
