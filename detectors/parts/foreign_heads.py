"""Published detectors that consist of a backbone and a linear head, with key names of their own."""

from collections.abc import Callable, Collection, Mapping

import torch
from torch import Tensor

from contracts.errors import CheckpointError

State = dict[str, Tensor]

HEADS = ("fc", "head", "classifier", "head.fc", "classifier.fc", "heads.head", "last_linear", "linear", "")
"""Usual names of the last layer; "" in a file that contains only this layer."""


def own_layout(
    state: Mapping[str, Tensor],
    feature_dim: int,
    heads: Collection[str],
    wanted: Collection[str],
    adapt: Callable[[State], State],
) -> tuple[State, str] | None:
    """Convert a published detector's state dict to the layout of `detectors.classifier.detector.ClassifierNet`.

    A head with two outputs (real, generated; trained with cross-entropy) becomes one with a single output, the
    difference of the two logits: its sigmoid equals the softmax of the second.

    Args:
        state: the state dict as read, such as CNNDetection's ``conv1.weight``, …, ``fc.weight`` [1, 2048].
        feature_dim: length of the backbone's feature vector, D.
        heads: names of the classifier in the backbone's library.
        wanted: keys of the backbone.
        adapt: renames the backbone's published keys to those of the backbone.

    Returns:
        Entries ``head.weight`` [1, D], ``head.bias`` [1] and ``backbone.…`` (absent if the file has only a head), and a
        description of the original layout; None if no linear classifier was found.

    Raises:
        CheckpointError: the classifier has more than two outputs.
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
    layout = f"the head is {name!r}" if name else "there is only a head"
    if outputs == 2:
        layout += " of two outputs, taken as real and generated"
    if f"{dot}bias" not in state:
        layout += ", without a bias"
    return {"head.weight": weight, "head.bias": bias} | {f"backbone.{k}": v for k, v in backbone.items()}, layout


def _head(state: Mapping[str, Tensor], feature_dim: int, heads: Collection[str]) -> str | None:
    """Name of the linear layer with one or two outputs."""
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
        "To train a detector from it, give it as detector.weights=FILE.",
    )


def _bare(state: State, wanted: Collection[str]) -> State:
    """Remove prefixes that all keys share, unless the backbone's keys have them too."""
    while True:
        first = next(iter(state)).partition(".")
        prefix = first[0] + first[1]
        if not first[1] or not all(key.startswith(prefix) for key in state):
            return state
        if all(key.startswith(prefix) for key in wanted):
            return state
        state = {key.removeprefix(prefix): value for key, value in state.items()}
