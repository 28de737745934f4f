"""Learning-rate schedules that torch does not have."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR


class NPRDecay(LambdaLR):
    """The NPR authors' rule: the rate is multiplied at the end of epoch e = every, 2·every, … (counted from 0).

    The first period is therefore one epoch longer: with ``every=10`` and 50 epochs, 11 epochs at the full rate, then
    three times 10, then 9. (``train.py``, ``networks/trainer.py``.)

    Args:
        optimizer: the optimiser whose rates decay.
        every: epochs between decays.
        factor: multiplier (0.9 since 2024-02-21, 0.8 before).
    """

    def __init__(self, optimizer: Optimizer, every: int = 10, factor: float = 0.9) -> None:
        super().__init__(optimizer, lambda epoch: factor ** (max(0, epoch - 1) // every))


class OneCycle(OneCycleLR):
    """torch's one-cycle policy with the optimiser's learning rate as its peak.

    Args:
        optimizer: the optimiser; its learning rates are the peaks.
        total_steps: optimiser steps of the whole training.
        warmup: fraction of the steps in which the rate rises.
        start_divisor: peak / first rate.
        final_divisor: first rate / last rate.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup: float = 0.3,
        start_divisor: float = 25.0,
        final_divisor: float = 1e4,
    ) -> None:
        peaks = [group["lr"] for group in optimizer.param_groups]
        super().__init__(
            optimizer,
            peaks,
            total_steps=total_steps,
            pct_start=warmup,
            div_factor=start_divisor,
            final_div_factor=final_divisor,
        )


class Warmup(LambdaLR):
    """The rate rises linearly over the first steps and then stays constant.

    Args:
        optimizer: the optimiser whose rates rise.
        steps: optimiser steps until the full rate; the first step uses ``1 / steps`` of it.
    """

    def __init__(self, optimizer: Optimizer, steps: int = 500) -> None:
        super().__init__(optimizer, lambda step: min(1.0, (step + 1) / max(1, steps)))


class WarmupCosine(LambdaLR):
    """The rate rises linearly, then falls along half a cosine.

    Args:
        optimizer: the optimiser whose rates change.
        total_steps: optimiser steps of the whole training.
        steps: steps in which the rate rises; None for a twentieth of all, at least 100, at most half.
        end: ratio of the last rate to the full rate.
    """

    def __init__(self, optimizer: Optimizer, total_steps: int, steps: int | None = None, end: float = 0.0) -> None:
        rise = min(max(100, total_steps // 20), total_steps // 2) if steps is None else steps
        fall = max(1, total_steps - rise)

        def factor(step: int) -> float:
            if step < rise:
                return (step + 1) / rise
            return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rise) / fall)))

        super().__init__(optimizer, factor)
