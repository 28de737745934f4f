"""From evidence to log-posteriors: routes are fitted on some splits; images of those are scored by cross-fitting."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from callbacks.passport import FORMAT
from contracts.errors import DataError
from contracts.files import write_atomically
from contracts.keys import random_key
from detectors.base import PASSPORT
from detectors.tracer.deciding.decision_files import fit_decision, load_decision, save_decision
from detectors.tracer.deciding.decisions import Decision, check_truth, with_frequencies
from detectors.tracer.deciding.evidence import Evidence, Floats
from detectors.tracer.deciding.prada_decision import Prada
from detectors.tracer.fitted import ENTRY, decision_entries, fingerprint
from detectors.tracer.tracer import Tracer

Names = NDArray[np.str_]


class Decisions:
    """The decisions of all routes of a tracer, saved as one file per route."""

    def __init__(self, tracer: Tracer, folder: Path) -> None:
        self.tracer = tracer
        self.folder = folder
        self.fitted: dict[str, Decision] = {}

    def fit(self, evidence: Evidence, truth: Names) -> None:
        """Fits and saves all routes on labelled images.

        Raises:
            DataError: a class has no images.
        """
        check_truth(truth, evidence, self.tracer.routes)
        for route in self.tracer.routes:
            self.fitted[route] = self._fit(route, evidence, truth)
            save_decision(self.folder / f"{route}.npz", route, self.fitted[route], evidence.families)

    def write_checkpoint(
        self, path: Path, evidence: Evidence, detector: Mapping[str, Any], about: Mapping[str, Any]
    ) -> None:
        """Writes the first route's decision as a checkpoint like that of any detector."""
        route = self.tracer.routes[0]
        of = fingerprint(self.tracer.zoo, self.tracer.inverse)
        state, decision = decision_entries(route, self.fitted[route], evidence.lengths, of)
        entry = {"format": FORMAT, "detector": dict(detector), "threshold": None, ENTRY: decision, **about}
        buffer = io.BytesIO()
        torch.save({"state_dict": state, PASSPORT: entry}, buffer)
        write_atomically(path, buffer.getvalue())

    def load(self, folder: Path, evidence: Evidence) -> None:
        """Reads the decisions of an earlier trace."""
        for route in self.tracer.routes:
            self.fitted[route] = load_decision(folder / f"{route}.npz", route, evidence)

    def score(self, route: str, evidence: Evidence) -> Floats:
        """Log-posterior [N, K + 1] of images that the route was not fitted on."""
        return with_frequencies(self.fitted[route].log_proba(evidence), self.tracer.prior)

    def cross_score(self, route: str, evidence: Evidence, truth: Names, ids: Names) -> Floats:
        """Log-posteriors of the images that were fitted on, each from a decision fitted on the other folds.

        An image's fold depends only on its id and the seed, not on the other images.

        Raises:
            DataError: all images of a class are in one fold.
        """
        fold = np.array([random_key(self.tracer.seed, "fold", str(i)) % self.tracer.folds for i in ids])
        found = np.zeros((len(evidence), len(self.tracer.classes)))
        for k in np.unique(fold).tolist():
            rest, own = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            if gone := sorted(set(truth.tolist()) - set(truth[rest].tolist())):
                raise DataError(
                    f"all images by {', '.join(gone)} are in one of {self.tracer.folds} folds",
                    "Fit on more images, or change detector.folds.",
                )
            part = self._fit(route, evidence.take(rest), truth[rest])
            found[own] = with_frequencies(part.log_proba(evidence.take(own)), self.tracer.prior)
        return found

    @property
    def alpha(self) -> Mapping[str, float]:
        """Variant → α of PRADA, if it was fitted."""
        prada = self._prada
        return {} if prada is None else prada.alpha

    def curves(self, evidence: Evidence) -> dict[str, NDArray[np.float32]]:
        """Curves of PRADA for plots, if it was fitted."""
        prada = self._prada
        if prada is None:
            return {}
        losses = {f"loss/{name}": np.array(course, np.float32) for name, course in prada.losses.items()}
        return prada.curves(evidence) | losses

    @property
    def _prada(self) -> Prada | None:
        return next((decision for decision in self.fitted.values() if isinstance(decision, Prada)), None)

    def _fit(self, route: str, evidence: Evidence, truth: Names) -> Decision:
        tracer = self.tracer
        return fit_decision(
            route, evidence, truth, threshold=tracer.threshold, epochs=tracer.prada_epochs, seed=tracer.seed
        )
