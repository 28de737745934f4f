"""Replay of earlier windows in continual learning: how many of each window's images, and which.

The follow-up of AI-GenBench (arXiv 2511.21507) names replay strategies, harmonic-in-time among them, without
publishing the exact lists. Ours divide a memory of a given size between the earlier windows, equally (`uniform`) or in
proportion to 1/age (`harmonic`: 1 for the previous window, 1/2 for the window before it, …), and fill each part with
equal numbers of generated and real images.
"""

import random
from typing import Literal, get_args

import numpy as np

from benchmarks.ai_genbench.protocol.windows import Rows, TrainingWindows, as_rows
from contracts.errors import ConfigError, nearest

Replay = Literal["none", "uniform", "harmonic"]

REPLAY_SEED = 1337  # Default random seed of the replayed images; window k adds k

_ROUNDING = 1e-9  # Shares this close below a whole number are that number


def replay_quotas(strategy: Replay, capacities: list[int], memory: int) -> list[int]:
    """Number of images replayed from each earlier window, oldest first.

    Args:
        strategy: How the memory is divided.
        capacities: Number of images in each earlier window.
        memory: Images to replay in total; fewer if the earlier windows have fewer.

    Returns:
        One count per earlier window, at most its capacity. The others make up for a window that is too small; rounding
        is by largest remainder, with ties going to the later window.

    Raises:
        ConfigError: Unknown strategy, or negative memory.
    """
    if strategy not in get_args(Replay):
        raise ConfigError(f"replay strategy {strategy!r} is unknown", nearest(strategy, get_args(Replay)))
    if memory < 0:
        raise ConfigError(f"a replay memory of {memory} images is negative", "Give a number of images, or null.")
    count = len(capacities)
    if strategy == "none" or not sum(capacities):
        return [0] * count
    weights = np.ones(count) if strategy == "uniform" else 1.0 / np.arange(count, 0, -1)
    capacity = np.asarray(capacities, dtype=np.int64)
    quotas = np.zeros(count, dtype=np.int64)
    left = min(memory, int(capacity.sum()))
    unfilled = np.ones(count, dtype=bool)
    share = np.zeros(count)
    while unfilled.any():
        share = np.where(unfilled, weights, 0.0)
        share *= left / share.sum()
        full = unfilled & (share >= capacity)
        if not full.any():
            break
        quotas[full] = capacity[full]
        left -= int(capacity[full].sum())
        unfilled &= ~full
    if unfilled.any():
        whole = np.floor(share + _ROUNDING).astype(np.int64)
        quotas[unfilled] = whole[unfilled]
        remainder = np.where(unfilled, share - whole, -np.inf)
        later_first = np.lexsort((-np.arange(count), -np.round(remainder, 9)))
        quotas[later_first[: left - int(whole[unfilled].sum())]] += 1
    return [int(quota) for quota in quotas]


def replayed_rows(
    training: TrainingWindows, window: int, strategy: Replay, memory: int | None = None, seed: int = REPLAY_SEED
) -> Rows:
    """Rows of earlier windows to train on in addition to `window`'s own, under `mode="continual"`.

    Args:
        training: The training rows of all windows.
        window: Window being trained.
        strategy: How the memory is divided between earlier windows.
        memory: Images to replay; by default as many as the window has. An odd number is rounded down to pairs.
        seed: Random seed; the same window always replays the same images.

    Returns:
        Rows, oldest window first, each window's real rows before its generated ones; none of them is in `window`.
    """
    own = training.continual(window)
    pools = []
    for real, generated in training.own[:window]:
        pools.append((np.setdiff1d(real, own), np.setdiff1d(generated, own)))
        own = np.concatenate([own, real, generated])
    budget = (training.continual(window).size if memory is None else memory) // 2
    quotas = replay_quotas(strategy, [min(len(real), len(generated)) for real, generated in pools], budget)
    draw = random.Random(seed + window)
    chosen = [
        as_rows(draw.sample(pool.tolist(), quota))
        for pools_w, quota in zip(pools, quotas, strict=True)
        for pool in pools_w
    ]
    return np.concatenate([as_rows([]), *chosen])
