"""FGTS as a detector: tokens are chosen on training images; a linear layer or two centroids judge their mean."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Unpack

import torch
import torch.distributed
import torch.nn.functional as F
from pytorch_lightning.utilities import rank_zero_info
from torch import Tensor, nn

from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError, DataError, nearest
from contracts.view import View
from detectors.backbones.frozen import Frozen
from detectors.backbones.on_frozen import OfBackbone, OnFrozen
from detectors.backbones.tokens import AllTokens
from detectors.base import FrozenPart, Scores
from detectors.fgts.fisher import best_tokens, fisher_scores, nearer_centroid
from detectors.parts.plain_pickle import Array
from detectors.parts.precision import linear_float32

HEADS = ("linear", "centroid")


class FgtsNet(nn.Module):
    """Frozen tokens, indices of the chosen ones, and both heads; names as in the original's files.

    Args:
        backbone: normalised images [B, 3, H, W] → tokens [B, T, D].
        total: T.
        width: D.
        count: number of tokens that are averaged.
    """

    def __init__(self, backbone: nn.Module, total: int, width: int, count: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(width, 2)
        self.register_buffer("token_indices", torch.arange(total - count, total))
        self.register_buffer("fisher_scores", torch.zeros(total, dtype=torch.float64))
        self.register_buffer("centroids", torch.zeros(2, width, dtype=torch.float64))


class FGTS(OnFrozen):
    """Fisher-ranked tokens of a frozen vision transformer.

    Args:
        backbone: a transformer of timm or the DINO family; see `OnFrozen`.
        tokens: number of tokens averaged.
        head: ``linear``, trained, or ``centroid``: which class's mean is nearer, without training.
        train_view: see `OnFrozen`.
        eval_view: see `OnFrozen`.
        other: see `OnFrozen`.

    Raises:
        ConfigError: an unknown head, or more tokens than there are patches.
    """

    net: FgtsNet

    def __init__(
        self,
        backbone: str,
        tokens: int = 10,
        head: Literal["linear", "centroid"] = "linear",
        train_view: View | None = None,
        eval_view: View | None = None,
        **other: Unpack[OfBackbone],
    ) -> None:
        if head not in HEADS:
            raise ConfigError(f"detector.head={head!r} is unknown", nearest(head, HEADS))
        super().__init__(backbone, train_view, eval_view, **other)
        module = AllTokens(self.record.module, self.record.name).eval()
        with torch.no_grad():
            _, total, width = module(torch.zeros(1, 3, self.record.image_size, self.record.image_size)).shape
        self.prefix, self.head = module.prefix, head
        if not 1 <= tokens <= total - self.prefix:
            raise ConfigError(f"detector.tokens={tokens}", f"Give 1 to {total - self.prefix}, the number of patches.")
        self.net = FgtsNet(Frozen(module), total, width, tokens)
        self.net.fc.requires_grad_(head == "linear")
        self._indices: Tensor | None = None

    def all_tokens(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W], or cached tokens [B, T · D], → [B, T, D]."""
        if images.ndim == 2:
            return images.reshape(len(images), -1, self.net.fc.in_features)
        tokens: Tensor = self.net.backbone(self.normalised(images))
        return tokens

    def pooled(self, images: Tensor) -> Tensor:
        """Mean [B, D] of the chosen tokens."""
        return self.all_tokens(images)[:, self.net.get_buffer("token_indices")].float().mean(1)

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the linear head."""
        logits = linear_float32(self.pooled(batch.images), self.net.fc)
        return F.cross_entropy(logits, batch.label[batch.crop_to_image])

    def score(self, batch: Batch) -> Scores:
        """One logit per crop."""
        pooled = self.pooled(batch.images)
        if self.head == "centroid":
            return Scores(nearer_centroid(pooled, self.net.get_buffer("centroids")).float())
        two = linear_float32(pooled, self.net.fc)
        return Scores(two[:, 1] - two[:, 0])

    def on_train_start(self) -> None:
        """Chooses tokens and centroids on the training images.

        Raises:
            DataError: they all belong to one class.
        """

        def passes() -> Iterator[tuple[Tensor, Tensor]]:
            for batch in self.trainer.datamodule.train_dataloader():  # type: ignore[attr-defined]
                there: Batch = self.trainer.strategy.batch_to_device(batch)
                with torch.no_grad():
                    yield self.all_tokens(there.images), there.label[there.crop_to_image]

        try:
            scores, means = fisher_scores(passes, _over_ranks)
        except ValueError as error:
            raise DataError(f"tokens cannot be chosen: {error}", "Train on real and generated images.") from error
        best = best_tokens(scores, len(self.net.get_buffer("token_indices")), self.prefix)
        self.net.get_buffer("token_indices").copy_(best)
        self.net.get_buffer("fisher_scores").copy_(scores)
        self.net.get_buffer("centroids").copy_(means[:, best].mean(1))
        rank_zero_info(f"FGTS: tokens {best.tolist()}, Fisher scores {[round(float(scores[k]), 3) for k in best]}")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:  # type: ignore[override]
        """The loss of the linear head; centroids are not trained."""
        return super().training_step(batch, batch_idx) if self.head == "linear" else None

    def configure_optimizers(self) -> Any:
        """The optimiser, or None for ``head=centroid``."""
        return super().configure_optimizers() if self.head == "linear" else None

    def frozen_part(self) -> FrozenPart:
        """All tokens."""
        size = len(self.net.get_buffer("fisher_scores")) * self.net.fc.in_features
        settings = self.feature_settings("after the last norm")
        return FrozenPart(lambda images: self.all_tokens(images).flatten(1), size, settings)

    def check_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Also keep the token indices that the original's files have beside the weights.

        Raises:
            CheckpointError: another backbone, or other numbers of tokens.
        """
        super().check_checkpoint(checkpoint)
        indices = checkpoint.get("token_indices")
        if indices is None:
            return
        self._indices = torch.as_tensor(indices.values if isinstance(indices, Array) else indices)
        wanted, total = self.net.get_buffer("token_indices"), len(self.net.get_buffer("fisher_scores"))
        if self._indices.shape != wanted.shape or not 0 <= int(self._indices.min()) <= int(self._indices.max()) < total:
            raise CheckpointError(
                f"its token indices {self._indices.tolist()} do not fit",
                f"Set detector.tokens={self._indices.numel()} and the image size it was trained with.",
            )

    def on_load_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The original's linear probe, with its token indices."""
        if self._indices is None or set(state) != {"fc.weight", "fc.bias"}:
            return state
        self.layout = "they are a linear probe on chosen tokens"
        own = {key: self.net.get_buffer(key) for key in ("fisher_scores", "centroids")}
        return {**state, **own, "token_indices": self._indices}


def _over_ranks(x: Tensor) -> Tensor:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(x)
    return x
