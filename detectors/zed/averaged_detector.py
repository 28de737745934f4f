"""Training whose validation, checkpoints and scores use averaged weights, and which resumes as if never stopped."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from detectors.base import Detector
from detectors.zed.models.averaging import WeightAverage

ENTRY = "zed"
"""Entry of a resumable checkpoint with the averaged weights and the smoothed loss."""


class AveragedDetector(Detector):
    """A detector with an exponential moving average of its weights, where ``ema_decay`` asks for one.

    Attributes:
        ema_decay: share of the old average kept at each step; None for no average.
        smoothed: running mean of the training loss, None before the first step.
    """

    ema_decay: float | None = None
    smoothed: float | None = None
    _average: WeightAverage | None = None
    _restored: Mapping[str, Any] = MappingProxyType({})

    def smooth(self, loss: float) -> float:
        """The running mean, a step's loss taken in."""
        self.smoothed = loss if self.smoothed is None else 0.9 * self.smoothed + 0.1 * loss
        return self.smoothed

    def on_fit_start(self) -> None:
        """Begin the average, or go on with that of a checkpoint."""
        if self.ema_decay is not None:
            self._average = WeightAverage(self.net, self.ema_decay)
            if "weights" in self._restored:
                self._average.load_state_dict(self._restored["weights"])
        self._restored = {}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """A step, then its weights enter the average: before any callback may save both."""
        super().optimizer_step(*args, **kwargs)
        if self._average is not None:
            self._average.update()

    def on_fit_end(self) -> None:
        """The average has done its work."""
        self._average = None

    def on_validation_start(self) -> None:
        """Validate the averaged weights."""
        if self._average is not None and not self._average.swapped:
            self._average.swap()

    def on_validation_end(self) -> None:
        """Back to the weights that are trained."""
        if self._average is not None and self._average.swapped:
            self._average.swap()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Weights to resume from are the trained ones beside their average; weights to score with are the average."""
        super().on_save_checkpoint(checkpoint)
        resumable = "optimizer_states" in checkpoint
        if resumable:
            checkpoint[ENTRY] = {"smoothed": self.smoothed}
        if self._average is None:
            return
        chosen = self._average.raw() if resumable else self._average.average()
        checkpoint["state_dict"] |= {f"net.{name}": tensor for name, tensor in chosen.items()}
        if resumable:
            checkpoint[ENTRY]["weights"] = self._average.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take back what belongs to an unfinished training."""
        super().on_load_checkpoint(checkpoint)
        self._restored = dict(checkpoint.get(ENTRY, {}))
        self.smoothed = self._restored.get("smoothed")
