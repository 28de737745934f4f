"""Fisher scores of tokens, by two passes over images, and nearest centroids (hzlsaber/FGTS)."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

EPSILON = 1e-8

Passes = Callable[[], Iterable[tuple[Tensor, Tensor]]]  # Begins a pass: tokens [B, T, D] and labels [B] of each batch


def fisher_scores(passes: Passes, total: Callable[[Tensor], Tensor] = lambda x: x) -> tuple[Tensor, Tensor]:
    """How far apart the classes are at each token, relative to their spread.

    ‖m₁ - m₀‖ / (½ (mean ‖x - m₀‖ over real + mean ‖x - m₁‖ over generated images) + ε), norms not squared.
    ``passes`` is called twice, and ``total`` sums a tensor over ranks.

    Returns:
        Scores [T] and class means [2, T, D], float64.

    Raises:
        ValueError: a class has no image.
    """
    sums, counts = _sums(passes, lambda tokens, _: tokens.double(), total)
    if not bool((counts > 0).all()):
        raise ValueError(f"images by class: {[int(count) for count in counts]}")
    means = sums / counts[:, None, None]
    distances, _ = _sums(passes, lambda tokens, label: _length(tokens.double() - means[label]), total)
    spread = (distances / counts[:, None]).mean(0)
    return _length(means[1] - means[0]) / (spread + EPSILON), means


def _length(vectors: Tensor) -> Tensor:
    """Euclidean norm along the last axis."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1)
    return lengths


def _sums(
    passes: Passes, values: Callable[[Tensor, int], Tensor], total: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Sums of values over the images of each class, and their numbers [2]."""
    sums: list[Tensor] = []
    counts = [0, 0]
    for tokens, labels in passes():
        each = [values(tokens[labels == label], label) for label in (0, 1)]
        counts = [count + len(found) for count, found in zip(counts, each, strict=True)]
        added = [found.sum(0) for found in each]
        sums = [one + more for one, more in zip(sums, added, strict=True)] if sums else added
    if not sums:
        raise ValueError("no images")
    stacked = torch.stack(sums)
    return total(stacked), total(torch.tensor(counts, dtype=torch.float64, device=stacked.device))


def best_tokens(scores: Tensor, count: int, prefix: int) -> Tensor:
    """Indices [count] of the highest scores [T] in falling order, class token and registers left out."""
    order = scores.argsort(descending=True, stable=True)
    return order[order >= prefix][:count]


def nearer_centroid(features: Tensor, centroids: Tensor) -> Tensor:
    """Logits [B] of features [B, D]: log of the distance to the real centroid over that to the generated one.

    Its sigmoid is the original's score d_real / (d_real + d_generated). The centroids are [2, D], the real one first.
    """
    real, generated = (_length(features.double() - one.double()) + EPSILON / 2 for one in centroids)
    return torch.log(real / generated)
