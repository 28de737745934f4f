"""Results of a trace: dumps, the submission, and the arrays of its plots."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.attribution.submission import write_submission
from benchmarks.predictions import Predictions, from_crops, image_columns
from contracts.errors import DataError
from contracts.stage import Rows
from datamodules.tables.manifest import Manifest
from detectors.tracer.deciding.decisions import known_logit
from detectors.tracer.deciding.evidence import Evidence, Floats
from detectors.tracer.models.sizes import OUTLIER

BOXES = ("log_perplexity", "guided", "icas", "loss", "min_k%++_0.2", "hinge", "entropy")
"""Features whose distribution the review page shows."""
DIAGNOSIS = "trace_diagnosis_{split}.npz"


def dump(manifest: Manifest, rows: Rows, log_posterior: Floats, classes: tuple[str, ...], **about: Any) -> Predictions:
    """Predictions with log-posteriors of all classes; the binary logit is the log-odds of "one of the generators".

    The log-posteriors [N, K] of N rows end with ``outlier``; ``about`` becomes metadata of the dump.
    """
    multi = log_posterior.astype(np.float32)
    return from_crops(
        known_logit(log_posterior),
        np.arange(len(rows)),
        **image_columns(manifest, rows),
        fused_multi_logits=multi,
        crop_multi_logits=multi,
        class_names=classes,
        extra={"attributed": np.array(classes)[log_posterior.argmax(1)]},
        provenance=about,
    )


def diagnosis(evidence: Evidence, ids: NDArray[Any], alpha: Mapping[str, float]) -> dict[str, NDArray[Any]]:
    """Arrays of the diagnosis plots: for every image and variant, PRADA's ratio d of each token and some features.

    Args:
        evidence: evidence on N images.
        ids: ids of the images.
        alpha: variant → α of PRADA; 1 if absent.
    """
    found: dict[str, NDArray[Any]] = {"id": ids.astype(str), "variants": np.array(list(evidence.families))}
    for name, lp in evidence.lp.items():
        a = alpha.get(name, 1.0)
        found[f"{name}/d_tokens"] = ((2 - a) * lp[..., 0] - a * lp[..., 1]).astype(np.float16)
        found[f"{name}/lengths"] = np.array(evidence.lengths[name])
        columns = evidence.names[evidence.families[name]]
        for feature in BOXES:
            found[f"{name}/feature/{feature}"] = evidence.features[name][:, columns.index(feature)]
    for family in evidence.quant_loss:
        found[f"family/{family}/quant_loss"] = evidence.quant_loss[family]
        found[f"family/{family}/enc_loss"] = evidence.enc_loss[family]
    return found


def submit(path: Path, manifest: Manifest, rows: Rows, predictions: Predictions, classes: tuple[str, ...]) -> int:
    """Writes ``submission.csv`` for the images of ``rows``; those without a prediction count as ``outlier``.

    Returns:
        Number of answers.
    """
    names = {manifest.image_id(int(row)): Path(str(manifest.column("where")[row])).name for row in rows}
    answers = dict.fromkeys(names, OUTLIER)
    attributed = zip(predictions.fused_ids.tolist(), predictions.extra["attributed"].tolist(), strict=True)
    answers |= {image: label for image, label in attributed if image in names}
    if len(names) != len(rows):
        raise DataError("two test images have the same id", "Report this as a bug: ids in the manifest must be unique.")
    write_submission(path, [(names[image], label) for image, label in answers.items()], names.values(), classes)
    return len(answers)
