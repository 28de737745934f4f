"""Fitted decisions in npz files without pickle; a file of another route or of other variants is rejected."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from contracts.errors import CheckpointError
from contracts.files import write_npz
from detectors.tracer.deciding.decisions import Calibrated, Decision, Flat, Rule, Variants
from detectors.tracer.deciding.evidence import Evidence
from detectors.tracer.deciding.linear_classifier import LinearClassifier
from detectors.tracer.deciding.prada import PradaCalibrator
from detectors.tracer.deciding.prada_decision import Prada
from detectors.tracer.deciding.prada_joint import JointPrada
from detectors.tracer.deciding.thresholds import Thresholding

Arrays = Mapping[str, npt.NDArray[Any]]


def fit_decision(
    route: str, evidence: Evidence, truth: npt.NDArray[np.str_], *, threshold: Thresholding, epochs: int, seed: int
) -> Decision:
    """Fit one of :data:`detectors.tracer.tracer.ROUTES`."""
    if route == "rule":
        return Rule.fit(evidence, truth, threshold)
    if route == "calibrated":
        return Calibrated.fit(evidence, truth)
    if route == "flat":
        return Flat.fit(evidence, truth)
    if route == "prada":
        return Prada.fit(evidence, truth, epochs=epochs, seed=seed)
    return Prada.fit_single(evidence, truth, epochs=10 * epochs, seed=seed)


def save_decision(path: Path, route: str, decision: Decision, families: Mapping[str, str]) -> None:
    """Write the learnt arrays with the route and the variants they belong to."""
    named: dict[str, npt.NDArray[Any]] = {"route": np.array(route), "variants": np.array(_named(families))}
    write_npz(path, named | {f"learnt/{k}": v for k, v in decision.arrays().items()})


def load_decision(path: Path, route: str, evidence: Evidence) -> Decision:
    """Read what :func:`save_decision` wrote.

    Raises:
        CheckpointError: if there is no such file, or it belongs to another route or other variants.
    """
    if not path.is_file():
        raise CheckpointError(
            f"trace.decision: {path} does not exist", f"Fit route {route} first, or choose another route."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}", "Fit it again.") from error
    families = _named(evidence.families)
    if str(stored.get("route")) != route or stored["variants"].tolist() != families:
        found = f"route {stored.get('route')} of {', '.join(stored.get('variants', np.array([])).tolist())}"
        raise CheckpointError(f"{path} is {found}; needed: route {route} of {', '.join(families)}", "Fit it again.")
    learnt = {k.removeprefix("learnt/"): v for k, v in stored.items() if k.startswith("learnt/")}
    return decision_of(route, learnt, evidence.families, evidence.lengths)


def decision_of(
    route: str, learnt: Arrays, families: Mapping[str, str], lengths: Mapping[str, tuple[int, ...]]
) -> Decision:
    """Rebuild a decision from its ``arrays()``."""
    if route == "rule":
        thresholds = {k.removeprefix("threshold/"): float(v) for k, v in learnt.items() if k.startswith("threshold/")}
        return Rule(thresholds, _variants(learnt, families))
    if route == "calibrated":
        return Calibrated(_linear(learnt, "family/"), _variants(learnt, families))
    if route == "flat":
        return Flat(_linear(learnt, "flat/"))
    joint = JointPrada({name: PradaCalibrator(lengths[name]) for name in families})
    joint.load_state_dict({k.removeprefix("joint/"): torch.from_numpy(v) for k, v in learnt.items()})
    return Prada(joint, {})


def _named(families: Mapping[str, str]) -> list[str]:
    return [f"{name}:{family}" for name, family in families.items()]


def _linear(learnt: Arrays, prefix: str) -> LinearClassifier:
    return LinearClassifier(**{k.removeprefix(prefix): v for k, v in learnt.items() if k.startswith(prefix)})


def _variants(learnt: Arrays, families: Mapping[str, str]) -> Variants:
    found: dict[str, LinearClassifier | None] = {}
    for family in dict.fromkeys(families.values()):
        prefix = f"variants/{family}/"
        found[family] = _linear(learnt, prefix) if f"{prefix}coef" in learnt else None
    return Variants(found)
