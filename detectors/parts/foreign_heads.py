"""Published detectors made of a backbone and a linear head, under names of their own."""

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from contracts.errors import CheckpointError

State = dict[str, Tensor]

HEADS = ("fc", "head", "classifier", "head.fc", "classifier.fc", "heads.head", "last_linear", "linear", "")
"""Usual names of the last layer; none at all in a file that holds it alone."""


def own_layout(
    state: Mapping[str, Tensor],
    feature_dim: int,
    heads: Collection[str],
    wanted: Collection[str],
    adapt: Callable[[State], State],
) -> tuple[State, str] | None:
    """A published detector's state dict in the layout of `detectors.classifier.detector.ClassifierNet`.

    A head of two outputs (real, generated; trained with cross-entropy) becomes one of one: its logit is their
    difference, whose sigmoid is the softmax of the second.

    Args:
        state: as read, such as CNNDetection's ``conv1.weight``, …, ``fc.weight`` [1, 2048].
        feature_dim: length of the backbone's feature vector, D.
        heads: names the backbone's library has for its classifier.
        wanted: keys of the backbone.
        adapt: the backbone's part, as published, → the backbone's own keys.

    Returns:
        Entries ``head.weight`` [1, D], ``head.bias`` [1] and ``backbone.…`` (none of a head alone), and a description
        of what they were; None where there is neither head nor classifier to be seen.

    Raises:
        CheckpointError: the classifier has another number of outputs.
    """
    name = _head(state, feature_dim, heads)
    if name is None:
        return None
    dot = f"{name}." if name else ""
    weight = state[f"{dot}weight"].flatten(1).float()
    bias = state.get(f"{dot}bias", torch.zeros(len(weight))).float()
    outputs = len(weight)
    if outputs == 2:
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    rest = {key: value for key, value in state.items() if key not in (f"{dot}weight", f"{dot}bias")}
    backbone = adapt(_bare(rest, wanted)) if rest else {}
    said = f"the head is {name!r}" if name else "they are a head alone"
    if outputs == 2:
        said += " of two outputs, taken as real and generated"
    return {"head.weight": weight, "head.bias": bias} | {f"backbone.{k}": v for k, v in backbone.items()}, said


def _head(state: Mapping[str, Tensor], feature_dim: int, heads: Collection[str]) -> str | None:
    """Name of the linear layer of one or two outputs."""
    layers = {
        key.removesuffix("weight").removesuffix("."): value
        for key, value in state.items()
        if (key == "weight" or key.endswith(".weight")) and value.ndim >= 2 and value[0].numel() == feature_dim
    }
    fitting = [name for name, value in layers.items() if len(value) in (1, 2)]
    usual = [name for name in (*heads, *HEADS) if name in fitting]
    if usual or len(fitting) == 1:
        return (usual or fitting)[0]
    other = next((name for name in (*heads, *HEADS) if name in layers), None)
    if other is None or fitting:
        return None
    raise CheckpointError(
        f"its classifier {other!r} has {len(layers[other])} outputs; a detector's has 1 or 2",
        "Give it as detector.weights=FILE, to train a detector from it.",
    )


def _bare(state: State, wanted: Collection[str]) -> State:
    """Without the names of modules that surround all of it, unless the backbone has them, too."""
    while True:
        first = next(iter(state)).partition(".")
        prefix = first[0] + first[1]
        if not first[1] or not all(key.startswith(prefix) for key in state):
            return state
        if all(key.startswith(prefix) for key in wanted):
            return state
        state = {key.removeprefix(prefix): value for key, value in state.items()}
