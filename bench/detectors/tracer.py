"""The tracer: one pass per image and variant, parallel scoring, exact token search."""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.parts.table import Row, rate
from bench.parts.timing import interleaved, pick
from detectors.tracer.measuring.likelihood import log_likelihood
from detectors.tracer.measuring.membership import membership_features, token_statistics, zlib_lengths
from detectors.tracer.measuring.passes import encode_pass, variant_pass
from detectors.tracer.measuring.provenance import EPSILON, mean_square
from detectors.tracer.models.coordinate_descent import coordinate_descent, scale_maps
from detectors.tracer.models.quantise import algorithm_3, hard_error
from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.sizes import RarSize, VarSampling, VarSize, VarVqvaeSize
from detectors.tracer.models.tokenizer import from_unit
from detectors.tracer.models.var_quantiser import VarQuantiser
from detectors.tracer.models.var_transformer import KeyValueCache, VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae

VARIANTS = 4
SCALES = (1, 2, 3)


def measure() -> list[Row]:
    """Measures all three comparisons, on small models with random weights."""
    torch.manual_seed(0)
    return [_four_variants(), _parallel(), _token_search()]


@torch.no_grad()
def _four_variants() -> Row:
    """Compares the evidence of four VAR variants, one pass through each model, with the originals' passes.

    Hooks in the published code counted the latter: 23 encodings and 11 decodings per image, all in batches of one.
    The provenance score takes 3 of each. Each variant takes 2 encodings, 2 decodings and a run scale by scale with
    condition and null stacked (PRADA), and 3 encodings and one pass each for condition and null (membership features).
    """
    count = pick(2, 8)
    vqvae = VarVqvae(VarVqvaeSize(32, 8, 64, SCALES)).eval()
    variants = [VarTransformer(VarSize(d, 64, 2, 10, 64, 8, SCALES)).eval() for d in range(2, 2 + VARIANTS)]
    images = torch.rand(count, 3, vqvae.image_size, vqvae.image_size)
    labels = torch.zeros(count, 1, dtype=torch.int64)
    passes = {"encode": 0, "decode": 0}

    def encoded(image: Tensor, times: int) -> Tensor:
        passes["encode"] += times
        return [vqvae.encode(image) for _ in range(times)][-1]

    def decoded(f: Tensor, times: int) -> Tensor:
        passes["decode"] += times
        return [vqvae.decode(f) for _ in range(times)][-1]

    def originals() -> tuple[Tensor, Tensor]:
        scores, losses = [], []
        for image in from_unit(vqvae, images).split(1):  # type: ignore[no-untyped-call]
            losses.append(_provenance(vqvae, image, encoded, decoded))
            for model in variants:
                f = encoded(image, 2)
                decoded(f, 2)
                scores.append(_prada_likelihood(vqvae, model, vqvae.quantise(f)[0]))
                tokens, _ = vqvae.quantise(encoded(image, 3))
                _membership(vqvae, model, tokens)
        return torch.stack(scores).sum(), torch.stack(losses)

    def ours() -> tuple[Tensor, Tensor]:
        done = encode_pass(vqvae, images)
        fed = vqvae.quantize.teacher_input(done.tokens)
        prior = torch.zeros(count, 1)
        lp = [variant_pass(m, done.tokens, labels, prior, VarSampling(), teacher_input=fed).lp.sum() for m in variants]
        return torch.stack(lp).sum(), done.quant_loss * done.enc_loss

    for theirs, our in zip(originals(), ours(), strict=True):
        torch.testing.assert_close(theirs, our, rtol=1e-3, atol=1e-2)
    if passes != {"encode": 23 * count, "decode": 11 * count}:
        raise AssertionError(f"the originals make 23 encodings and 11 decodings per image, not {passes}")
    timings = interleaved({"originals": originals, "ours": ours}, pick(1, 3))
    way = f"{VARIANTS} VAR variants, {vqvae.image_size}² pixels, {count} images"
    note = "against: the originals' 23 encodings, 11 decodings, and 20 passes of the transformers, image by image"
    return rate("tracer", way, timings["originals"], timings["ours"], count, target=4.0, note=note)


def _provenance(
    vqvae: VarVqvae, image: Tensor, encoded: Callable[[Tensor, int], Tensor], decoded: Callable[[Tensor, int], Tensor]
) -> Tensor:
    """Score of one image; each of the two losses encodes it."""
    f = encoded(image, 1)
    _, f_z = vqvae.quantise(f)
    decoded(f_z, 1)
    once = decoded(encoded(image, 1), 1)
    twice = decoded(encoded(once, 1), 1)
    ratio = (mean_square(once, image) + EPSILON) / (mean_square(twice, once) + EPSILON)
    return (mean_square(f, f_z) * ratio)[0]


def _prada_likelihood(vqvae: VarVqvae, model: VarTransformer, tokens: Tensor) -> Tensor:
    """Sum of the log-likelihoods with and without class, stacked: one call per scale, with a key-value cache."""
    cache, fed = KeyValueCache(), vqvae.quantize.teacher_input(tokens)
    both, total = torch.tensor([0, model.null_label]), torch.zeros(())
    for scale, at in enumerate(tokens.split(list(model.lengths), 1)):  # type: ignore[no-untyped-call]
        first = sum(model.lengths[:scale])
        part = None if scale == 0 else fed[:, first - 1 : first - 1 + at.shape[1]].repeat(2, 1, 1)
        lp = model.step(both, scale, part, cache).log_softmax(-1)
        total = total + lp.gather(-1, at.repeat(2, 1)[..., None]).sum()
    return total


def _membership(vqvae: VarVqvae, model: VarTransformer, tokens: Tensor) -> dict[str, Tensor]:
    """The 18 features, with separate passes for condition and null."""
    fed = vqvae.quantize.teacher_input(tokens)
    cond, null = (model(torch.tensor([label]), fed) for label in (0, model.null_label))
    return membership_features(token_statistics(cond - null, tokens), zlib_lengths(tokens))


@torch.no_grad()
def _parallel() -> Row:
    """Compares RAR's likelihood of all tokens at once with a token-by-token loop that has a key-value cache."""
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
    """Compares coordinate descent with the 1,200 steps of Algorithm 3."""
    scales = pick((1, 2, 3, 4), (1, 2, 3, 4, 5, 6))
    quantiser = VarQuantiser(pick(64, 512), 16, scales).requires_grad_(False)
    # codes of several magnitudes, as training gives them
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
