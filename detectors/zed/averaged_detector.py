"""Averaged weights for validation, checkpoints and scores; a resumed training equals an uninterrupted one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from detectors.base import Detector
from detectors.zed.models.averaging import WeightAverage

ENTRY = "zed"  # Entry of a resumable checkpoint that holds the averaged weights and the smoothed loss


class AveragedDetector(Detector):
    """A detector with an exponential moving average of its weights, unless ``ema_decay`` is None."""

    ema_decay: float | None = None  # fraction of the old average kept at each step; None for no average
    smoothed: float | None = None  # running mean of the training loss, None before the first step
    _average: WeightAverage | None = None
    _restored: Mapping[str, Any] = MappingProxyType({})

    def smooth(self, loss: float) -> float:
        """Update the running mean with the loss of a step, and return it."""
        self.smoothed = loss if self.smoothed is None else 0.9 * self.smoothed + 0.1 * loss
        return self.smoothed

    def on_fit_start(self) -> None:
        """Start the average, or continue that of a checkpoint."""
        if self.ema_decay is not None:
            self._average = WeightAverage(self.net, self.ema_decay)
            if "weights" in self._restored:
                self._average.load_state_dict(self._restored["weights"])
        self._restored = {}

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step and update the average before any callback can save the two."""
        super().optimizer_step(*args, **kwargs)
        if self._average is not None:
            self._average.update()

    def on_fit_end(self) -> None:
        """Discard the average."""
        self._average = None

    def on_validation_start(self) -> None:
        """Switch to the averaged weights."""
        if self._average is not None and not self._average.swapped:
            self._average.swap()

    def on_validation_end(self) -> None:
        """Switch back to the trained weights."""
        if self._average is not None and self._average.swapped:
            self._average.swap()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A checkpoint to resume from holds the trained weights and the average, one to score with the average."""
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
        """Restore the average and the smoothed loss of an unfinished training."""
        super().on_load_checkpoint(checkpoint)
        self._restored = dict(checkpoint.get(ENTRY, {}))
        self.smoothed = self._restored.get("smoothed")
