"""The same random numbers on the same step, whatever happened before it."""
# ruff: noqa: ARG002 - the signatures are Lightning's

import pytorch_lightning as L
import torch

from contracts.batch import Batch
from contracts.keys import random_key


class KeyedSeed(L.Callback):
    """Seeds torch before every training batch from (seed, epoch, batch, rank).

    What a network draws for itself (dropout, drop path) then needs no state in checkpoints: a run that was killed and
    resumed draws what an uninterrupted run draws.

    Args:
        seed: the experiment's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Seeds the CPU's and every device's default generator."""
        torch.manual_seed(random_key(self.seed, trainer.current_epoch, batch_idx, trainer.global_rank))
