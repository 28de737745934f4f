"""Every epoch's validation scores are an image in TensorBoard, and nowhere else."""

from pathlib import Path

import numpy as np
import synthetic_predictions
import tiny
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from callbacks.collector import Collector
from callbacks.reporting.score_histogram import ScoreHistogram, histogram


def test_the_image_shows_both_classes() -> None:
    predictions = synthetic_predictions.draw(images=60)
    image = histogram(predictions)
    assert image.dtype == np.uint8
    assert image.shape == (300, 500, 3)
    colours = {tuple(pixel) for pixel in image.reshape(-1, 3).tolist()}
    alone = {tuple(p) for p in histogram(predictions.select(predictions.fused_labels == 0)).reshape(-1, 3).tolist()}
    assert len(colours) > len(alone) > 10


def test_an_image_an_epoch(tmp_path: Path) -> None:
    collector = Collector()
    board = TensorBoardLogger(tmp_path, name="x", version="")
    loggers = [board, CSVLogger(tmp_path, name="csv")]
    made = tiny.trainer(collector, ScoreHistogram(collector), logger=loggers, max_epochs=2)
    detector, module = tiny.Tiny(), tiny.data(tmp_path)
    made.fit(detector, datamodule=module)
    made.validate(detector, datamodule=module, verbose=False)  # another look is no further epoch
    board.experiment.flush()
    events = EventAccumulator(str(tmp_path / "x"), size_guidance={"images": 0})
    events.Reload()
    assert events.Tags()["images"] == ["val/scores"]
    assert len(events.Images("val/scores")) == 2
