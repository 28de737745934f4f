"""A checkpoint that scores images, in Python: ``load("best.ckpt").score(["photo.jpg"])``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Unpack

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.calibration.stored import Stored
from benchmarks.predictions import Predictions
from callbacks.collector import Collector
from callbacks.passport import passport
from conf.build import build_for_scoring
from contracts.errors import ConfigError, DataError
from contracts.view import SampleFunction
from datamodules.given import GivenImages, Held, held
from datamodules.loading.decode import decode
from datamodules.loading.options import FurtherLoading
from datamodules.loading.transforms import evaluation_views
from detectors.base import Detector
from detectors.parts.exported_folder import weights_file
from detectors.parts.weights import load_weights, read_checkpoint
from tasks.experiment.stage_folder import file_hash
from tasks.models.registry import checkpoint
from tasks.scoring.evaluate import Loaded, with_calibration
from tasks.scoring.score_frame import LEADING, scores_frame
from tasks.scoring.scorer import Scorer, needs_trainer

ONE_AT_A_TIME = Lock()
"""Scoring puts a detector's modules into evaluation mode and back, so threads take turns; each uses all cores."""


@dataclass(eq=False)
class Model:
    """A detector with its weights, as `load` gives it; threads may share one."""

    loaded: Loaded  # detector, path, hash and the checkpoint's own entry
    device: str  # ``cpu`` or ``cuda``

    def __repr__(self) -> str:
        name = type(self.loaded.detector).__name__
        return f"Model({name}, {self.loaded.path}, threshold {self.threshold:.4f}, {self.device})"

    @property
    def threshold(self) -> float:
        """Threshold on P(generated): the one chosen on validation images, or 0.5."""
        return 0.5 if self.loaded.threshold is None else self.loaded.threshold

    @cached_property
    def calibration(self) -> Stored | None:
        """The calibration that ``task=calibrate`` wrote into the checkpoint; None if there is none.

        Raises:
            CheckpointError: it was fitted for other weights.
        """
        return with_calibration(self.loaded).calibration if self.loaded.about.get("calibration") else None

    @property
    def has_maps(self) -> bool:
        """Whether the detector has maps for `map` to return."""
        return type(self.loaded.detector).maps is not Detector.maps

    def score(
        self,
        images: Any,
        batch_size: int = 32,
        delivery: SampleFunction | None = None,
        **loading: Unpack[FurtherLoading],
    ) -> pd.DataFrame:
        """A row per image, in the order given, with the columns of ``predictions.csv``.

        ``id`` is the path, or ``image 0``, ``image 1``, … for images in memory. ``score`` is P(generated) in [0, 1] and
        ``logit`` its log-odds, both float32. ``generated`` says whether the score exceeds `threshold`. Further columns
        are the detector's own scores. An image that could not be read has the reason in ``error``, no score, and
        ``pandas.NA`` in ``generated``, which counts as false in ``frame[frame["generated"]]``.

        Args:
            images: one image or several; each a path (a folder stands for all images below it), the bytes of a file, an
                open file, an array [H, W, 3] or [H, W] uint8, or a PIL image. A PIL image from `Image.open` counts as
                its file; one with 16 bits, a palette or alpha is converted as files are. An array [N, H, W, 3] is N
                images.
            batch_size: images scored together.
            delivery: function ``(image [3, H, W] uint8, rng) -> image`` applied first.
            **loading: further options of the data module, such as ``decoder`` or ``num_workers``.

        Raises:
            DataError: no image is given.
            ConfigError: an image is of another kind, such as an array of floats.
        """
        datamodule = GivenImages(images, batch_size=batch_size, **loading)
        with ONE_AT_A_TIME:
            predictions, collector = self._predictions(datamodule, delivery)
        order = {name: place for place, name in enumerate(datamodule.manifest().column("id").tolist())}
        if predictions is None:
            blank = {"label": -1, "generator": "", "group": "", "note": ""}
            rows = [{"id": f.id, "where": f.where, "error": f.reason, **blank} for f in collector.failures]
            frame = pd.DataFrame(rows, columns=list(LEADING))
        else:
            frame = scores_frame(
                predictions, self.threshold, self.loaded.detector.first_columns, collector.failures, collector.notes
            )
        frame = frame.sort_values("id", key=lambda ids: ids.map(order)).reset_index(drop=True)
        return frame.astype({"score": "float32", "logit": "float32", "generated": "boolean"})

    def _predictions(
        self, datamodule: GivenImages, delivery: SampleFunction | None
    ) -> tuple[Predictions | None, Collector]:
        detector, collector = self.loaded.detector, Collector()
        datamodule.use(detector.train_view, detector.eval_view, delivery, detector.sides)
        datamodule.evaluate(np.arange(len(datamodule.manifest())))
        try:
            Scorer([collector], self.device).score("predict", detector, datamodule)
        except DataError:
            if len(collector.failures) < len(datamodule.manifest()):
                raise
        return collector.predictions, collector

    def map(self, image: Any) -> Mapping[str, NDArray[np.float32]]:
        """The detector's maps of an image, each [h, w] float32 by name, of what its view shows (the central crop).

        Raises:
            ConfigError: the detector has no maps, or the image is of an unknown kind.
            DataError: the image cannot be read.
        """
        detector = self.loaded.detector
        if not self.has_maps:
            raise ConfigError(f"{type(detector).__name__} has no maps", "Ask has_maps before calling map.")
        stored = Held([held(image)]).read(0)
        pixels = torch.from_numpy(stored).permute(2, 0, 1) if isinstance(stored, np.ndarray) else decode(stored)
        (seen,) = evaluation_views(pixels, replace(detector.eval_view, crops="one"), 0)
        with ONE_AT_A_TIME:
            return {name: values.numpy() for name, values in detector.maps(seen).items()}


def load(path: str | Path, *words: str, device: str | None = None) -> Model:
    """A checkpoint, ready to score.

    Args:
        path: checkpoint of ours, a folder that ``task=export`` wrote, or published weights; a string may also be the
            name of a model that ``pixelproof models`` lists, or of an experiment in the current folder (its last
            stage).
        words: command-line arguments that choose the detector of published weights: ``"detector=npr"``.
        device: ``cpu``, ``cuda`` or one of several GPUs, as ``cuda:1``; None takes a GPU if there is one.

    Raises:
        CheckpointError: it cannot be read, or is not a checkpoint.
        ConfigError: there is no such file, model or experiment; neither it nor ``words`` say which detector it is; or
            the detector needs a trainer; or there is no such device.
    """
    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    known = ["cpu", *(["cuda"] if gpus else []), *gpus]
    if device not in (None, *known):
        raise ConfigError(f"device={device!r} is none of {', '.join(known)}", "Give one, or None for the fastest.")
    file = path.expanduser() if isinstance(path, Path) else checkpoint(path)
    content = read_checkpoint(file)
    entry = passport(content, file)
    if words:
        from conf.compose import compose  # slow: Hydra

        node, own = compose(["task=predict", *words]).resolved["detector"], False
    elif entry:
        node, own = entry["detector"], True
    else:
        raise ConfigError(
            f"{file} does not say which detector it is",
            f'Name it in Python: load(path, "detector=npr"); or export a folder that records it, and load that: '
            f"pixelproof task=export detector=npr ckpt={file}",
        )
    detector = build_for_scoring(node, from_checkpoint=own)
    load_weights(detector, file)
    if needs_trainer(detector, "predict"):
        raise ConfigError(f"{type(detector).__name__} can only be run by a trainer", "Use task=predict.")
    chosen = device or ("cuda" if gpus else "cpu")
    return Model(Loaded(detector, file, file_hash(weights_file(file)), entry or {}, node), chosen)
