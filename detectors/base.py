"""The contract of a detector: batches in, scores out."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypedDict, cast

import pytorch_lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.view import Sides, View

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory = Callable[..., LRScheduler]


class Optimisation(TypedDict, total=False):
    """Arguments of every detector that can be trained; `Detector` explains them and holds their defaults."""

    optimizer: OptimizerFactory | None
    scheduler: SchedulerFactory | None
    scheduler_steps: str | None
    scheduler_interval: str
    channels_last: bool


class Training(Optimisation, total=False):
    """The same and ``compile``, for detectors that call their net as a whole.

    A sub-class takes them as ``**training: Unpack[Training]`` and passes them to ``super().__init__``; other defaults
    are ``**(Training(channels_last=False) | training)``.
    """

    compile: bool


PASSPORT = "pixelproof"
"""Entry of a checkpoint that says what it is, in plain containers."""


@dataclass(frozen=True)
class FrozenPart:
    """The part of a detector that never changes, so that what it makes of an image can be kept.

    Attributes:
        features: images [B, 3, H, W] as a batch holds them → [B, D]. The detector takes these in place of images.
        dim: D.
        settings: what features depend on, in plain containers, weights by their hash.
    """

    features: Callable[[Tensor], Tensor]
    dim: int
    settings: dict[str, Any]


@dataclass(frozen=True)
class Scores:
    """What a detector says of a batch of B crops.

    Attributes:
        logits: [B] float32, higher means "more likely generated".
        extras: named per-crop columns, [B] or [B, ...] float32 (attention weights, token statistics); in the dump a
            column each, ``name_0``, ``name_1``, … where there are several.
        classes: [B, K] float32 of a tracer, the log-posterior of each of `Detector.sources`.
    """

    logits: Tensor
    extras: dict[str, Tensor] = field(default_factory=dict)
    classes: Tensor | None = None


class Detector(L.LightningModule):
    """A thin Lightning shell round a plain ``nn.Module``.

    Sub-classes set ``self.net`` and say how it is trained (`loss`) and read (`score`). Everything else (collection over
    ranks, metrics, dumps, checkpoints, resume) happens beside, in callbacks that know this class alone.

    Args:
        train_view: size policy and augmentation of a training image.
        eval_view: size policy of an evaluated image; carried in the checkpoint.
        optimizer: partial of a torch optimiser, called with the trainable parameters.
        scheduler: partial of a learning-rate scheduler, called with the optimiser, or None.
        scheduler_steps: name of the scheduler's argument that takes the total number of optimiser steps
            (``total_steps`` of OneCycleLR), filled in when training starts; None if it has none.
        scheduler_interval: "step" or "epoch", when the scheduler advances.
        compile: compile the inner net (``torch.compile``), in place, so that keys stay as they are.
        channels_last: keep weights and images in channels-last order.
    """

    net: nn.Module
    trains_on: Literal["all", "real"] = "all"
    """Which images training and the choice of checkpoint may read."""
    monitor: str = "val/auroc"
    """Logged value that checkpoints are chosen by, where the configuration names none."""
    monitor_mode: Literal["max", "min"] = "max"
    """Whether more or less of it is better."""
    first_columns: tuple[str, ...] = ()
    """Extras that come first of all in the table of ``task=predict``, and that its summary is of."""
    sources: Mapping[str, str] = {}
    """Of a tracer: every class it tells apart, in the order of `Scores.classes`, and the family it belongs to."""
    layout: str = ""
    """How `on_load_weights` understood foreign weights, for the line that says what was read."""
    passport: dict[str, Any] | None = None
    """What a checkpoint says of itself under `PASSPORT`; set by the callback of that name."""

    def __init__(
        self,
        train_view: View,
        eval_view: View,
        optimizer: OptimizerFactory | None = None,
        scheduler: SchedulerFactory | None = None,
        scheduler_steps: str | None = None,
        scheduler_interval: str = "step",
        compile: bool = False,  # noqa: A002 - the word torch and its users have for it
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        if scheduler_interval not in ("step", "epoch"):
            raise ConfigError(f"detector.scheduler_interval={scheduler_interval!r}", "Choose 'step' or 'epoch'.")
        for key, factory in (("optimizer", optimizer), ("scheduler", scheduler)):
            if factory is not None and not callable(factory):
                raise ConfigError(
                    f"detector.{key}={factory!r} makes none",
                    f"Write 'detector.{key}={{_target_: module.Class, _partial_: true}}', in quotes: "
                    "a shell takes braces apart.",
                )
        self.train_view = train_view
        self.eval_view = eval_view
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.scheduler_steps = scheduler_steps
        self.scheduler_interval = scheduler_interval
        self.compile_net = compile
        self.channels_last = channels_last

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The training loss of a batch: a scalar, averaged over images."""

    @abstractmethod
    def score(self, batch: Batch) -> Scores:
        """Logits and extras of a batch in evaluation; float32 taken from float32 logits."""

    def sides(self) -> Sides:
        """Hook: images that can be taken, by their size; all others are listed as failures, and never seen."""
        return Sides()

    def maps(self, image: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - for those that have some
        """Hook: maps to look at of one image ``[3, H, W]`` uint8, each ``[h, w]`` float32 on the CPU, by name.

        Raises:
            ConfigError: this detector has none.
        """
        raise ConfigError(f"{type(self).__name__} has no maps to draw", "Leave predict.maps at 0.")

    def frozen_part(self) -> FrozenPart | None:
        """Hook: what may be computed once for every image; None where all of the detector is trained."""
        return None

    def on_load_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Hook: turn a foreign state dict (published weights) into the keys of ``self.net``; strict loading follows.

        Args:
            state: as read, without the prefixes wrappers put before every key (`detectors.parts.weights.state_of`).
        """
        return state

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Hook: refuse a checkpoint by what it holds beside its weights.

        Args:
            checkpoint: all its entries, as `detectors.parts.weights.read_checkpoint` gives them.

        Raises:
            CheckpointError: its weights would fit in shape, but not in meaning.
        """

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook on resuming."""
        self.check_checkpoint(checkpoint)

    @classmethod
    def for_checkpoint(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Hook: constructor arguments for a detector whose weights a checkpoint will bring, e.g. without a download."""
        return arguments

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Every checkpoint, weights alone or resumable, carries the passport."""
        if self.passport is not None:
            checkpoint[PASSPORT] = self.passport

    def configure_model(self) -> None:
        """Memory format and compilation, once, on the device."""
        if self.channels_last:
            self.net.to(memory_format=torch.channels_last)
        if self.compile_net and getattr(self.net, "_compiled_call_impl", None) is None:
            self.net.compile()

    def to_memory_format(self, images: Tensor) -> Tensor:
        """Images in the order the weights are kept in."""
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """One optimiser step's loss, logged as ``train/loss``."""
        loss = self.loss(batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.label))
        return loss

    def validation_step(  # type: ignore[override]  # Lightning knows tensors only
        self,
        batch: Batch | None,
        batch_idx: int,  # noqa: ARG002
    ) -> Scores | None:
        """Scores; the collecting callback does the rest. None where only other ranks have a batch left."""
        return None if batch is None else self.score(batch)

    def test_step(self, batch: Batch | None, batch_idx: int) -> Scores | None:  # type: ignore[override]  # noqa: ARG002
        """As `validation_step`."""
        return None if batch is None else self.score(batch)

    def predict_step(self, batch: Batch | None, batch_idx: int) -> Scores | None:  # noqa: ARG002
        """As `validation_step`."""
        return None if batch is None else self.score(batch)

    def trainable(self) -> list[nn.Parameter]:
        """Parameters the optimiser gets."""
        return [p for p in self.parameters() if p.requires_grad]

    @property
    def learning_rate(self) -> float:
        """The optimiser's learning rate, as configured; setting it changes that of the next training.

        Raises:
            ConfigError: the optimiser is no partial with an ``lr``.
        """
        lr = getattr(self.make_optimizer, "keywords", {}).get("lr")
        if lr is None:
            raise ConfigError("detector.optimizer.lr is not given", "Give detector.optimizer a learning rate.")
        return float(lr)

    @learning_rate.setter
    def learning_rate(self, lr: float) -> None:
        self.make_optimizer = partial(cast(Callable[..., Optimizer], self.make_optimizer), lr=lr)

    def configure_optimizers(self) -> Any:
        """Optimiser and, where configured, scheduler, in Lightning's form."""
        if self.make_optimizer is None:
            raise ConfigError("detector.optimizer is null, so nothing can be trained", "Give detector.optimizer.")
        optimizer = self.make_optimizer(self.trainable())
        if self.make_scheduler is None:
            return optimizer
        steps = {self.scheduler_steps: int(self.trainer.estimated_stepping_batches)} if self.scheduler_steps else {}
        scheduler = self.make_scheduler(optimizer, **steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": self.scheduler_interval}}
