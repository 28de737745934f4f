"""The density model that a detector scores with, built new or read from published weights."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from contracts.errors import CheckpointError, ConfigError, check_known
from detectors.parts.weights import find_state, read_checkpoint
from detectors.zed.models.coding import coding_cost
from detectors.zed.models.density import DensityModel, InputScale
from detectors.zed.models.heads import HalfResolutionHead, Head, Heads
from detectors.zed.models.published_heads import MixtureHead, ResidualHead, load_published_head
from detectors.zed.models.srec import Means, SReC

Kind = Literal["srec", "heads", "zed_rep"]


class Net(nn.Module):
    """A density model and the calibration of its score, so that one checkpoint holds both."""

    calibration: Tensor  # ``[2]``, centre and spread of the score: the logit is ``(score - centre) / spread``

    def __init__(self, model: DensityModel) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("calibration", torch.tensor([0.0, 1.0]))


def make_model(
    kind: Kind,
    mixtures: int | None = None,
    hidden: int | None = None,
    blocks: int | None = None,
    levels: int | None = None,
    means: Means = "residual",
    input_scale: InputScale | None = None,
) -> DensityModel:
    """An untrained model, with the arguments of `detectors.zed.detector.ZED`; None selects the default of its kind.

    Raises:
        ConfigError: an unknown kind, an impossible size, or an option the kind does not have.
    """
    check_known("detector.model", kind, get_args(Kind))
    for name, value in (("hidden", hidden), ("blocks", blocks), ("levels", levels)):
        if value is not None and value < 1:
            raise ConfigError(f"detector.{name}={value}", "Give 1 or more, or null for the model's default.")
    if mixtures is not None and mixtures < (0 if kind == "zed_rep" else 1):
        raise ConfigError(f"detector.mixtures={mixtures}", "Give 1 or more (0 only for the residual head of zed_rep).")
    if kind == "srec":
        if input_scale not in (None, "tanh"):
            raise ConfigError(f"detector.input_scale={input_scale} with model=srec", "SReC's input is always tanh.")
        return SReC(hidden or 64, mixtures or 10, blocks or 3, levels or 3, means)

    def head() -> Head:
        if kind == "heads":
            return HalfResolutionHead(mixtures or 5, hidden or 96, blocks or 4, input_scale or "tanh")
        if mixtures:
            return MixtureHead(mixtures, hidden or 128, blocks or 6, input_scale or "uint8")
        return ResidualHead(hidden or 64, input_scale or "uint8")

    return Heads([head() for _ in range(levels or 2)])


def foreign_model(
    state: Mapping[str, Tensor], level1: str | Path | None, scale: InputScale | None
) -> DensityModel | None:
    """The model of a published state dict, its sizes read off the keys; None for any other state dict.

    Args:
        state: SReC's ``nets``, or the state dict of a ZED_Rep head of level 0.
        level1: File of ZED_Rep's head of level 1, which that code stores separately.
        scale: Affine of the heads' input; ``uint8`` if None.

    Raises:
        CheckpointError: a published layout whose keys do not fit, or a head of level 0 without one of level 1.
    """
    try:
        if any(key.startswith("1.0.rgb_decs.") for key in state):
            return SReC.from_published(state)
        if not ("head_pi.weight" in state or "block1.c1.weight" in state):
            return None
        if level1 is None:
            raise CheckpointError(
                "these weights are a ZED_Rep head, which models only one level",
                "Give level 0 as ckpt=FILE and level 1 as detector.level1=FILE.",
            )
        coarse = find_state(read_checkpoint(level1), level1).state
        return Heads([load_published_head(each, scale or "uint8") for each in (state, coarse)])
    except ValueError as error:
        raise CheckpointError(str(error), "Choose a checkpoint of SReC or of a ZED_Rep head.") from error


def freeze_idle(model: DensityModel, levels: Iterable[int]) -> None:
    """Freeze the parameters on which the cost of these levels does not depend.

    These are other heads, finer levels and the last, unused context. Distributed training waits for the gradient of
    every parameter that is not frozen.
    """
    image = torch.randint(0, 256, (1, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    parameters = list(model.parameters())
    cost = sum(level.bits.sum() for level in coding_cost(model, image, levels).values())
    found = torch.autograd.grad(torch.as_tensor(cost), parameters, allow_unused=True)
    for parameter, gradient in zip(parameters, found, strict=True):
        parameter.requires_grad_(gradient is not None)
