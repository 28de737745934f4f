"""Histograms of the validation scores of every epoch in TensorBoard."""

import numpy as np
import pytorch_lightning as L
from numpy.typing import NDArray
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.trainer.states import TrainerFn

from benchmarks.predictions import Predictions
from callbacks.collector import Collector

BINS = 40


class ScoreHistogram(L.Callback):
    """Adds the image ``val/scores`` to every TensorBoard logger: histograms of real and of generated images.

    Args:
        collector: provides the predictions on rank 0; must come before this callback.
    """

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Adds the image, once per epoch, on rank 0."""
        boards = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        predictions = self.collector.predictions
        if trainer.sanity_checking or trainer.state.fn is not TrainerFn.FITTING or not boards or predictions is None:
            return
        image = histogram(predictions)
        for board in boards:
            board.experiment.add_image("val/scores", image, trainer.global_step, dataformats="HWC")


def histogram(predictions: Predictions) -> NDArray[np.uint8]:
    """Histograms of P(generated) of labelled images, [H, W, 3] uint8, over the range of the scores."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="score, P(generated)", ylabel="images")
    scores, labels = predictions.fused_scores, predictions.fused_labels
    edges = np.histogram_bin_edges(scores[np.isfinite(scores)], BINS).tolist()
    for label, name, colour in ((0, "real", "#1b6ca8"), (1, "generated", "#d1495b")):
        own = scores[labels == label]
        axes.hist(own, edges, alpha=0.6, label=f"{name} (n = {len(own)})", color=colour)
    axes.legend()
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
