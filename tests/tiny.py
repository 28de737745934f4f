"""The smallest detector there is, drawn data for it, and a trainer that is quiet."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as L
import synthetic
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from callbacks.checkpoint_io import AtomicCheckpointIO
from contracts.batch import Batch, as_unit_float
from contracts.stage import Stage
from contracts.view import View
from datamodules.hdf5 import Hdf5DataModule
from detectors.base import Detector, Scores


class Tiny(Detector):
    """One logit from the mean colour and the difference of neighbours; ``noise`` is drawn in every training step."""

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__(View(), View(), optimizer=lambda parameters: torch.optim.Adam(parameters, lr=0.1))
        self.net = nn.Linear(4, 1)
        self.noise = noise

    def forward(self, images: Tensor) -> Tensor:
        x = as_unit_float(images)
        edges = (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))
        logits: Tensor = self.net(torch.cat([x.mean((2, 3)), 10 * edges[:, None]], 1)).squeeze(1)
        return logits

    def loss(self, batch: Batch) -> Tensor:
        logits = self(batch.images)
        logits = logits + self.noise * torch.randn_like(logits)
        return F.binary_cross_entropy_with_logits(logits, batch.label.float())

    def score(self, batch: Batch) -> Scores:
        logits = self(batch.images)
        return Scores(logits, {"doubled": 2 * logits, "pair": torch.stack([logits, -logits], 1)})


def data(folder: Path, batch_size: int = 4, **counts: int) -> Hdf5DataModule:
    """A data module of 16 px pictures that has entered its one stage."""
    file = folder / "tiny.h5"
    if not file.exists():
        synthetic.hdf5(file, counts or {"train": 8, "valid": 6, "test": 5}, size=16)
    module = Hdf5DataModule(file, batch_size=batch_size, seed=3)
    module.use(View(), View())
    manifest = module.manifest()
    module.enter(Stage(0, "all", manifest.rows("train"), manifest.rows("valid")))
    module.evaluate(manifest.rows("test") if "test" in set(manifest.column("split")) else np.zeros(0, np.int64))
    return module


def trainer(*callbacks: L.Callback, **given: Any) -> L.Trainer:
    """As the tasks make it, on the CPU, and silent."""
    settings = {"max_epochs": 2, "logger": False, "num_sanity_val_steps": 0, "log_every_n_steps": 1}
    return L.Trainer(
        accelerator="cpu",
        devices=1,
        callbacks=list(callbacks),
        plugins=[AtomicCheckpointIO()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **settings | given,
    )
