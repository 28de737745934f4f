"""Learning-rate schedules that torch does not have."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR


class NPRDecay(LambdaLR):
    """The NPR authors' rule: at the end of epoch e = every, 2·every, … (counted from 0) the rate is multiplied.

    The first period is thus one epoch longer than the others: with ``every=10`` and 50 epochs, 11 epochs at the full
    rate, then three times 10, then 9. (``train.py``, ``networks/trainer.py``.)

    Args:
        optimizer: the optimiser whose rates decay.
        every: epochs between decays.
        factor: multiplier (0.9 since 2024-02-21, 0.8 before).
    """

    def __init__(self, optimizer: Optimizer, every: int = 10, factor: float = 0.9) -> None:
        super().__init__(optimizer, lambda epoch: factor ** (max(0, epoch - 1) // every))


class OneCycle(OneCycleLR):
    """torch's one-cycle policy with the optimiser's own learning rate as its peak, so that it is stated once.

    Args:
        optimizer: its learning rates are the peaks.
        total_steps: optimiser steps of the whole training.
        warmup: share of the steps in which the rate rises.
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
