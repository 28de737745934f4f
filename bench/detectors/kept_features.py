"""A linear head on cached features: 20 epochs of 10,000 vectors of 768 numbers, in batches of 256."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytorch_lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.parts.table import Row
from bench.parts.timing import pick
from contracts.batch import Batch
from contracts.view import View
from datamodules.loading.features import FeatureLoader, Features
from datamodules.loading.parallel import cores
from datamodules.loading.samplers import TrainingBatches
from detectors.base import Detector, Scores
from detectors.parts.precision import linear_float32

DIM = 768
TARGET = 10.0


class Head(Detector):
    """One linear layer on features."""

    net: nn.Linear

    def __init__(self) -> None:
        super().__init__(View(), View(), optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3))
        self.net = nn.Linear(DIM, 1)

    def loss(self, batch: Batch) -> Tensor:
        """Binary cross-entropy."""
        return F.binary_cross_entropy_with_logits(self.score(batch).logits, batch.label.float())

    def score(self, batch: Batch) -> Scores:
        """One logit for each vector."""
        return Scores(linear_float32(batch.images, self.net).squeeze(1))


def measure() -> list[Row]:
    """Measures the seconds of training, including Lightning's loop and the reading of the cached features."""
    torch.set_num_threads(cores())
    count, epochs = pick((512, 2), (10_000, 20))
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 2
    vectors = (rng.normal(size=(count, DIM)) + 0.2 * labels[:, None]).astype(np.float32)
    with TemporaryDirectory() as name:
        kept = Features(Path(name), torch.as_tensor, count, 1, 1, DIM)
        rows = torch.arange(count)
        whole = torch.from_numpy(vectors)
        kept.put(Batch(whole, rows % 2, rows % 2, rows, rows, rows), 0, dict.fromkeys(range(count), 0))
        batches = TrainingBatches(np.arange(count), 256, 0)
        loader = FeatureLoader(kept, batches, torch.from_numpy(labels), torch.from_numpy(labels))
        torch.manual_seed(0)
        head = Head()
        trainer = L.Trainer(
            accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, use_distributed_sampler=False,
        )  # fmt: skip
        started, cpu = time.perf_counter(), time.process_time()
        trainer.fit(head, loader)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    accuracy = float(((head.net(whole).squeeze(1) > 0).long() == torch.from_numpy(labels)).float().mean())
    note = f"CPU seconds {cpu:.1f}; accuracy on the vectors {accuracy:.2f}"
    way = f"{epochs} epochs of {count:,} vectors of {DIM}, batch 256"
    return [Row("kept_features", way, None, seconds, "s", None, TARGET, note)]
