"""The same random numbers in the same training step of every run, resumed or not."""
# ruff: noqa: ARG002 - the signatures are Lightning's

import pytorch_lightning as L
import torch

from contracts.batch import Batch
from contracts.keys import random_key


class KeyedSeed(L.Callback):
    """Seeds torch before every training batch from (seed, epoch, batch, rank).

    Random numbers inside a network (dropout, drop path) then need no state in checkpoints: a resumed run uses the same
    ones as an uninterrupted run.

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
