"""Cost of tracing with the published models, from their shapes: ``python -m detectors.tracer.models.cost``."""

from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from detectors.tracer.models.load import parameter_count
from detectors.tracer.models.rar_transformer import RarTransformer
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.sizes import RAR_SIZES, VAR_SIZES, RarVqganSize, VarVqvaeSize, scale_lengths
from detectors.tracer.models.var_transformer import VarTransformer
from detectors.tracer.models.var_vqvae import VarVqvae


@dataclass(frozen=True)
class Cost:
    """Cost of one pass of a published model."""

    name: str  # label, or tokenizer
    what: str  # the pass
    parameters: int  # number of learnt parameters
    flop: float  # floating-point operations of one pass of one image (a multiplication and an addition are two)


def variant_cost(name: str) -> Cost:
    """One teacher-forced pass with one label; tracing an image takes one for each candidate and one for the null class.

    Linear layers cost two operations per weight and position, attention four per pair of positions and channel (masked
    pairs are computed too). VAR's AdaLN runs once per label, RAR's once per position.
    """
    with torch.device("meta"):
        if name in VAR_SIZES:
            var = VAR_SIZES[name]
            model: VarTransformer | RarTransformer = VarTransformer(var)
            L, w = sum(scale_lengths(var.patch_nums)), var.width
            linear = var.depth * (3 + 1 + 8) * w * w + var.latent * w + w * var.codebook
            flop = 2 * linear * L + 2 * (6 * var.depth + 2) * w * w + 4 * var.depth * L * L * w
        else:
            rar = RAR_SIZES[name]
            model = RarTransformer(rar)
            L, w = rar.length + 2, rar.width
            linear = rar.depth * ((3 + 1 + 6) * w * w + 2 * w * rar.mlp) + 2 * w * w + w * rar.codebook
            flop = 2 * linear * L + 4 * rar.depth * L * L * w
    return Cost(name, "one label", parameter_count(model), float(flop))


def tokenizer_costs(family: str) -> list[Cost]:
    """Encoding and decoding, counted by torch on the meta device."""
    found = []
    with torch.device("meta"), torch.no_grad():
        model = VarVqvae(VarVqvaeSize()) if family == "var" else RarVqgan(RarVqganSize())
        given = {"encode": torch.zeros(1, 3, 256, 256), "decode": torch.zeros(1, model.size.latent, 16, 16)}
        for what, x in given.items():
            with FlopCounterMode(display=False) as counter:
                model.encode(x) if what == "encode" else model.decode(x)
            flop = float(counter.get_total_flops())
            found.append(Cost(f"{family} tokenizer", what, parameter_count(model), flop))
    return found


def main() -> None:
    """Print the table."""
    print("| model | pass | parameters, M | weights, float32, GB | TFLOP per image |\n|---|---|--:|--:|--:|")
    costs = [cost for family in ("var", "rar") for cost in tokenizer_costs(family)]
    for cost in costs + [variant_cost(name) for name in (*VAR_SIZES, *RAR_SIZES)]:
        size = f"{cost.parameters / 1e6:,.0f} | {4 * cost.parameters / 1e9:.2f}"
        print(f"| {cost.name} | {cost.what} | {size} | {cost.flop / 1e12:.3f} |")


if __name__ == "__main__":
    main()
