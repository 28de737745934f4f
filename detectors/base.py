"""The contract of a detector: batches in, scores out."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypedDict, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from contracts.batch import Batch
from contracts.errors import ConfigError
from contracts.process.lightning import LightningModule
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
    paired: Callable[..., Tensor] | None


class Training(Optimisation, total=False):
    """`Optimisation` and ``compile``, for detectors that call their net as a whole.

    A subclass takes them as ``**training: Unpack[Training]`` and passes them to ``super().__init__``; to change a
    default it passes ``**(Training(channels_last=False) | training)``.
    """

    compile: bool


PASSPORT = "pixelproof"  # Entry of a checkpoint that describes it, in plain containers


@dataclass(frozen=True)
class FrozenPart:
    """The part of a detector that is never trained, so that its features of an image can be cached."""

    features: Callable[[Tensor], Tensor]
    """Images [B, 3, H, W] of a batch → features [B, D], which the detector accepts in place of images."""
    dim: int  # D
    settings: dict[str, Any]  # everything that features depend on, in plain containers; weights by their hash


@dataclass(frozen=True)
class Scores:
    """A detector's output for a batch of B crops."""

    logits: Tensor  # [B] float32, higher means "more likely generated"
    extras: dict[str, Tensor] = field(default_factory=dict)
    """Named values of each crop, [B] or [B, ...] float32 (attention weights, token statistics). [B] becomes a column of
    the dump, [B, ...] the columns ``name_0``, ``name_1``, …."""
    classes: Tensor | None = None  # a tracer's log-posteriors [B, K] float32, one for each of `Detector.sources`


class Detector(LightningModule):
    """A thin Lightning module around a plain ``nn.Module``.

    Subclasses set ``self.net`` and define how it is trained (`loss`) and evaluated (`score`). Callbacks that know only
    this class do the rest: collection over ranks, metrics, dumps, checkpoints, resume.

    Args:
        train_view: size policy and augmentation of training images.
        eval_view: size policy of evaluated images; stored in the checkpoint.
        optimizer: partial of a torch optimiser, called with the trainable parameters.
        scheduler: partial of a learning-rate scheduler, called with the optimiser, or None.
        scheduler_steps: name of the scheduler's argument for the total number of optimiser steps (``total_steps`` of
            OneCycleLR), filled in when training starts; None if it has none.
        scheduler_interval: "step" or "epoch": when the scheduler advances.
        compile: compile the net with ``torch.compile``, in place, so that the keys of its state dict stay the same.
        channels_last: store weights and images in channels-last order.
        paired: term (`detectors.parts.training.paired.Paired`) added to the loss of each training batch, or None.
    """

    net: nn.Module
    trains_on: Literal["all", "real"] = "all"  # Which images may be used for training and for choosing the checkpoint
    takes_paired: bool = True  # Whether the argument ``paired`` makes sense: of detectors trained on labels
    monitor: str = "val/auroc"
    """Logged value by which the best checkpoint is chosen, unless the configuration names another."""
    monitor_mode: Literal["max", "min"] = "max"  # Whether a higher or a lower monitored value is better
    first_columns: tuple[str, ...] = ()
    """Extras shown first in the table of ``task=predict`` and summarised in its last lines."""
    map_unit: str = ""  # Of the values of `maps`, for their titles
    sources: Mapping[str, str] = {}  # A tracer's classes, in the order of `Scores.classes`, each with its family
    layout: str = ""  # How `on_load_weights` interpreted weights in another layout; part of the log line about the file
    passport: dict[str, Any] | None = None
    """Description of the detector that checkpoints store under `PASSPORT`; set by the callback of that name."""

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
        paired: Callable[..., Tensor] | None = None,
    ) -> None:
        super().__init__()
        if paired is not None and not self.takes_paired:
            raise ConfigError(
                f"detector.paired is not for {type(self).__name__}, which is not trained on labels",
                "Set detector.paired=null.",
            )
        if scheduler_interval not in ("step", "epoch"):
            raise ConfigError(f"detector.scheduler_interval={scheduler_interval!r}", "Choose 'step' or 'epoch'.")
        for key, factory in (("optimizer", optimizer), ("scheduler", scheduler)):
            if factory is not None and not callable(factory):
                raise ConfigError(
                    f"detector.{key}={factory!r} is not a partial of a class",
                    f"Write 'detector.{key}={{_target_: module.Class, _partial_: true}}', in quotes: "
                    "otherwise the shell changes the braces.",
                )
        self.train_view = train_view
        self.eval_view = eval_view
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.scheduler_steps = scheduler_steps
        self.scheduler_interval = scheduler_interval
        self.compile_net = compile
        self.channels_last = channels_last
        self.paired = paired

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """Return the training loss of a batch: a scalar, averaged over images."""

    @abstractmethod
    def score(self, batch: Batch) -> Scores:
        """Return logits and extras of a batch in evaluation, float32 computed in float32."""

    def sides(self) -> Sides:
        """Hook: image sizes the detector accepts; images of other sizes are listed as failures."""
        return Sides()

    def maps(self, image: Tensor) -> dict[str, Tensor]:  # noqa: ARG002 - for those that have some
        """Hook: named maps of one image ``[3, H, W]`` uint8, each ``[h, w]`` float32 on the CPU.

        Raises:
            ConfigError: this detector has no maps.
        """
        raise ConfigError(f"{type(self).__name__} has no maps to draw", "Leave predict.maps at 0.")

    graph_outputs: tuple[str, ...] = ()
    """Names of what `forward` returns, the logits first, if `score` needs nothing else; see ``task=export``."""
    no_graph = "its score is more than a network of one image"  # Why there are no `graph_outputs`

    def frozen_part(self) -> FrozenPart | None:
        """Hook: the part whose output can be computed once per image; None if the whole detector is trained."""
        return None

    def on_load_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Hook: rename the keys of published weights to those of ``self.net``; strict loading follows.

        Args:
            state: as read, without prefixes that wrappers add to every key (`detectors.parts.weights.find_state`).
        """
        return state

    def merged(self) -> dict[str, Tensor]:
        """Return the weights of ``self.net`` for ``task=export``; a detector with adapters merges them."""
        return dict(self.net.state_dict())

    def exported(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Hook: the constructor arguments of the detector that the weights returned by `merged` belong to."""
        return arguments

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Hook: reject a checkpoint because of its other entries.

        Args:
            checkpoint: all its entries, as `detectors.parts.weights.read_checkpoint` returns them.

        Raises:
            CheckpointError: its weights would have the right shapes, but another meaning.
        """

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lightning's hook on resuming."""
        self.check_checkpoint(checkpoint)

    @classmethod
    def for_checkpoint(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Hook: constructor arguments of a detector whose weights come from a checkpoint, e.g. without a download."""
        return arguments

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the passport to every checkpoint, resumable or not."""
        if self.passport is not None:
            checkpoint[PASSPORT] = self.passport

    def configure_model(self) -> None:
        """Apply memory format and compilation; calling it again changes nothing."""
        if self.channels_last:
            self.net.to(memory_format=torch.channels_last)
        if self.compile_net and getattr(self.net, "_compiled_call_impl", None) is None:
            self.net.compile()

    def to_memory_format(self, images: Tensor) -> Tensor:
        """Return images in the memory order of the weights."""
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's signature
        """Return the loss of a batch, logged as ``train/loss``."""
        loss = self.loss(batch)
        if self.paired is not None:
            loss = loss + self.paired(self, batch)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.label))
        return loss

    def validation_step(  # type: ignore[override]  # Lightning knows tensors only
        self,
        batch: Batch | None,
        batch_idx: int,  # noqa: ARG002
    ) -> Scores | None:
        """Return scores for the collecting callback, or None if only other ranks have a batch left."""
        return None if batch is None else self.score(batch)

    def test_step(self, batch: Batch | None, batch_idx: int) -> Scores | None:  # type: ignore[override]  # noqa: ARG002
        """As `validation_step`."""
        return None if batch is None else self.score(batch)

    def predict_step(self, batch: Batch | None, batch_idx: int) -> Scores | None:  # noqa: ARG002
        """As `validation_step`."""
        return None if batch is None else self.score(batch)

    def trainable(self) -> list[nn.Parameter]:
        """Return the parameters passed to the optimiser."""
        return [p for p in self.parameters() if p.requires_grad]

    @property
    def learning_rate(self) -> float:
        """The configured learning rate; setting it takes effect when training starts.

        Raises:
            ConfigError: the optimiser is not a partial with an ``lr``.
        """
        lr = getattr(self.make_optimizer, "keywords", {}).get("lr")
        if lr is None:
            raise ConfigError("detector.optimizer.lr is not given", "Give detector.optimizer a learning rate.")
        return float(lr)

    @learning_rate.setter
    def learning_rate(self, lr: float) -> None:
        self.make_optimizer = partial(cast(Callable[..., Optimizer], self.make_optimizer), lr=lr)

    def configure_optimizers(self) -> Any:
        """Return the optimiser and the configured scheduler, if any, in Lightning's form."""
        if self.make_optimizer is None:
            raise ConfigError("detector.optimizer is null, so nothing can be trained", "Give detector.optimizer.")
        optimizer = self.make_optimizer(self.trainable())
        if self.make_scheduler is None:
            return optimizer
        steps = {self.scheduler_steps: int(self.trainer.estimated_stepping_batches)} if self.scheduler_steps else {}
        scheduler = self.make_scheduler(optimizer, **steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": self.scheduler_interval}}
