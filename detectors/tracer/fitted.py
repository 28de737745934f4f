"""A fitted decision in a checkpoint: arrays as tensors, texts and hashes of the models in the metadata entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from contracts.errors import CheckpointError
from detectors.base import PASSPORT
from detectors.tracer.deciding.decision_files import decision_of
from detectors.tracer.deciding.decisions import Decision
from detectors.tracer.measuring.zoo import Zoo, file_key

ENTRY = "decision"


@dataclass(frozen=True)
class Fingerprint:
    """The models that a decision belongs to."""

    files: dict[str, str]  # part (``var tokenizer``, ``var16``, ``var inverse decoder``) → hash of its file

    def check(self, checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the checkpoint's entry about its decision.

        Raises:
            CheckpointError: there is none, or the decision was fitted on other models.
        """
        about: Mapping[str, Any] = checkpoint.get(PASSPORT, {}).get(ENTRY, {})
        if not about:
            raise CheckpointError(
                "the checkpoint holds no fitted decision", "Use tracer.ckpt, which task=trace writes."
            )
        fitted: Mapping[str, str] = about["files"]
        if odd := [part for part in {**fitted, **self.files} if fitted.get(part) != self.files.get(part)]:
            raise CheckpointError(
                f"its decision was fitted with different weights of {', '.join(odd)}",
                "Set detector.weights and detector.inverse to the files it was fitted with, or run task=trace again.",
            )
        return about


def fingerprint(zoo: Zoo, inverse: Mapping[str, Path]) -> Fingerprint:
    """Hashes of the current files."""
    files = {f"{family} tokenizer": path for family, path in zoo.tokenizers.items()}
    files |= {variant.name: variant.path for variant in zoo.variants}
    files |= {f"{family} inverse decoder": path for family, path in inverse.items()}
    return Fingerprint({part: file_key(path) for part, path in files.items()})


def decision_entries(
    route: str, decision: Decision, lengths: Mapping[str, tuple[int, ...]], of: Fingerprint
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict of a decision for a checkpoint, and the metadata entry :data:`ENTRY`."""
    arrays = {name: np.asarray(array) for name, array in decision.arrays().items()}
    texts = {name: array.tolist() for name, array in arrays.items() if array.dtype.kind == "U"}
    state = {name: torch.from_numpy(array.copy()) for name, array in arrays.items() if name not in texts}
    about = {"route": route, "texts": texts, "lengths": {k: list(v) for k, v in lengths.items()}, "files": of.files}
    return state, about


def decision_in(state: Mapping[str, Tensor], about: Mapping[str, Any], families: Mapping[str, str]) -> Decision:
    """Rebuild the decision from :func:`decision_entries`.

    Args:
        state: the checkpoint's tensors.
        about: the checkpoint's entry, checked (`Fingerprint.check`).
        families: variant → family, in the order of the classes.
    """
    learnt: dict[str, npt.NDArray[Any]] = {name: value.numpy() for name, value in state.items()}
    learnt |= {name: np.array(texts) for name, texts in about["texts"].items()}
    lengths = {name: tuple(values) for name, values in about["lengths"].items()}
    return decision_of(str(about["route"]), learnt, families, lengths)
