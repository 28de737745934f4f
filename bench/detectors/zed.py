"""ZED: exact entropy against sums of logarithms, and scores of a 512² image against plain full-resolution heads.

The baseline of the scores is a straightforward implementation of ZED_Rep: a pair of 96-wide, 4-block heads of five
mixtures at full resolution with its approximate entropy, one image at a time.
"""

import torch
from torch import Tensor

from bench.parts.table import Row, rate
from bench.parts.timing import interleaved, pick
from contracts.view import View
from datamodules.loading.parallel import cores
from detectors.zed.detector import ZED
from detectors.zed.entropy.entropy import entropy, entropy_by_edges, entropy_by_log_probs, negative_log_prob
from detectors.zed.entropy.logistic import Mixture, mixture_log_prob
from detectors.zed.models.legacy import legacy_maps
from detectors.zed.models.published_heads import MixtureHead
from detectors.zed.models.pyramid import build_pyramid

MIXTURES = 10
SIDE = 512


def measure() -> list[Row]:
    """Measures microseconds per subpixel of entropy and likelihood, and images/s of scores, each with its error."""
    torch.set_num_threads(cores())
    with torch.inference_mode():
        return [*_likelihood(), *_scores(), *_throughput()]


def mixtures(count: int, seed: int = 0) -> tuple[Tensor, Mixture]:
    """Values, and mixtures like those of a model of photographs: means near the value, scales from 0.3 to 20."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    value = torch.randint(0, 256, (count,), generator=generator).float()
    mu = (value[:, None] + 12 * normal(count, MIXTURES)).clamp(0, 255)
    return value, Mixture(normal(count, MIXTURES), mu, (1 + 0.9 * normal(count, MIXTURES)).clamp(-1.2, 3.0))


def _likelihood() -> list[Row]:
    few, many = pick(2**9, 2**12), pick(2**12, 3 * SIDE**2)  # for the fused kernels, as many as in one image
    slow_value, slow = mixtures(few)
    value, fast = mixtures(many)
    error = float((entropy(slow) - entropy_by_log_probs(Mixture(*(p.double() for p in slow)))).abs().max())
    timings = interleaved(
        {
            "log": lambda: (entropy_by_log_probs(slow), mixture_log_prob(slow_value, slow)),
            "edges": lambda: (entropy_by_edges(slow), mixture_log_prob(slow_value, slow)),
            "fused": lambda: (entropy(fast), negative_log_prob(value, fast)),
        }
    )
    log, ours = timings["log"].best / few * 1e6, timings["fused"].best / many * 1e6
    edges = timings["edges"].best / few * 1e6
    cpu = timings["log"].best_cpu / few / (timings["fused"].best_cpu / many)
    unit, what = "µs/subpixel", f"exact entropy and NLL, K = {MIXTURES}"
    note = f"baseline: 256 log-masses of every component; entropy differs by at most {error:.0e} nats; CPU {cpu:.0f}×"
    return [
        Row("zed", f"{what}, fused kernel", log, ours, unit, log / ours, 150, note),
        Row("zed", f"{what}, plain torch at the bin edges", log, edges, unit, log / edges, None, "the reference route"),
    ]


def _scores() -> list[Row]:
    side = pick(64, SIDE)
    image = smooth_image(side)
    torch.manual_seed(0)
    heads = [MixtureHead(5, 96, 4).eval() for _ in range(2)]
    for head in heads:
        for parameter in head.parameters():
            parameter.add_(0.003 * torch.randn(parameter.shape))  # so that no layer keeps its initial zeros
        # wide components around mid-grey: the legacy masses are differences of sigmoids, noisy where they are tiny
        for layer in (head.head_pi, head.head_mu, head.head_ls):
            layer.weight.mul_(0.01)
        head.head_mu.bias.fill_(128.0)  # type: ignore[union-attr]
        head.head_ls.bias.fill_(3.5)  # type: ignore[union-attr]
    default, srec, same = (
        _detector(),
        _detector(model="srec"),
        _detector(model="zed_rep", mixtures=5, hidden=96, blocks=4, legacy=True),
    )
    bf16, compiled = _detector(conv_dtype="bfloat16"), _detector(compile=True)
    for level, head in enumerate(heads):
        same.net.model.get_submodule(f"heads.{level}").load_state_dict(head.state_dict())
    same.configure_model()
    expected = plain(heads, image)
    error = max(float((expected[n] - v).abs().max()) for n, v in same.scores(image).items() if n in expected)
    rounding, fused = (
        float((other.scores(image)["Delta01"] - default.scores(image)["Delta01"]).abs().max())
        for other in (bf16, compiled)
    )
    if error > 1e-5:
        raise AssertionError(f"scores with the same weights differ by {error:.1e}, more than 1e-5")
    timings = interleaved(
        {
            "plain": lambda: plain(heads, image),
            "heads": lambda: default.scores(image),
            "bf16": lambda: bf16.scores(image),
            "compiled": lambda: compiled.scores(image),
            "srec": lambda: srec.scores(image),
            "same": lambda: same.scores(image),
        },
        pick(1, 3),
    )
    what, base = f"D0, D1, Δ01 of {side}²", timings["plain"]
    rows = [
        ("heads", "default model, exact entropy", 1.7, "half-resolution trunk"),
        ("bf16", "default model, conv_dtype=bfloat16", None, f"Δ01 moves by {rounding:.0e} (untrained)"),
        ("compiled", "default model, compile=true", None, f"Δ01 moves by {fused:.0e} (untrained)"),
        ("srec", "model=srec, exact entropy", None, "the paper's model, 64 channels, K = 10"),
        ("same", "full-resolution heads, same weights, legacy scores", 1.2, f"scores differ by at most {error:.0e}"),
    ]
    return [rate("zed", f"{what}, {way}", base, timings[n], 1, target, note) for n, way, target, note in rows]


def _throughput() -> list[Row]:
    """Measures megapixels/s of a 1024² image on a GPU; returns no row without one."""
    if not torch.cuda.is_available():
        return []
    detector, image = _detector().to("cuda"), smooth_image(1024).to("cuda")

    def run() -> None:
        detector.scores(image)
        torch.cuda.synchronize()

    rate = image.shape[-2] * image.shape[-1] / 1e6 / interleaved({"gpu": run})["gpu"].best
    what = f"D0, D1, Δ01 of 1024², default model, {torch.cuda.get_device_name()}"
    return [Row("zed", what, None, rate, "MP/s", None, None, "one image at a time, exact entropy by the fused kernel")]


def plain(heads: list[MixtureHead], image: Tensor) -> dict[str, Tensor]:
    """The scores as ZED_Rep computes them: full maps of both levels, in the default memory order."""
    pyramid = build_pyramid(image, 3, "half_even")
    d = [
        legacy_maps(head, pyramid.x[level], pyramid.y[level]).d.flatten(1).mean(dim=1)
        for level, head in enumerate(heads)
    ]
    return {"D1": d[1], "D0": d[0], "Delta01": d[0] - d[1]}


def smooth_image(side: int, seed: int = 0) -> Tensor:
    """A smooth image with some noise, uint8 ``[1, 3, side, side]``."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(30, 220, (1, 3, side // 16, side // 16), generator=generator).float()
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic")
    return (smooth + 5 * torch.randn(smooth.shape, generator=generator)).round().clamp(0, 255).to(torch.uint8)


def _detector(**options: object) -> ZED:
    torch.manual_seed(0)
    made = ZED(View(), View(least=2), percentiles=[], **options)  # type: ignore[arg-type]
    made.eval()
    made.configure_model()
    return made
