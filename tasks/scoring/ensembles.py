"""The checkpoint of an ensemble, from those of its members."""

import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.predictions import sigmoid
from benchmarks.real_stats.combine import Columns, Combination
from benchmarks.thresholds.rules import choose_threshold
from callbacks.passport import FORMAT, passport
from conf.build import build_for_scoring
from conf.keys.targets import resolve
from contracts.errors import CheckpointError
from contracts.files import write_atomically
from detectors.base import PASSPORT
from detectors.ensemble.detector import P_VALUES, THRESHOLDS, Ensemble
from detectors.parts.weights import load_weights, read_checkpoint


def write_ensemble(
    path: Path, members: Mapping[str, Path], found: Combination, columns: Columns, reference: Columns | None
) -> None:
    """Writes one checkpoint that holds all members and what was fitted.

    A threshold depends on the rule. The checkpoint has one for each of the two rules of p-values, between which
    ``detector.rule`` chooses.

    Args:
        path: file of the new checkpoint.
        members: checkpoints of ours, by the name of the dump of their scores.
        found: how they are combined.
        columns: the combined scores.
        reference: validation images, on which the threshold is chosen; None for no threshold.

    Raises:
        ConfigError: members have different views of images.
        CheckpointError: a member was not written by PixelProof.
    """
    origins = dict(zip(columns.names, columns.origins, strict=True))
    origins = {name: origins[name] for name in found.columns or columns.names}
    members = {name: file for name, file in members.items() if name in {dump for dump, _ in origins.values()}}
    nodes, seen = {}, set()
    for name, file in members.items():
        entry = passport(read_checkpoint(file), file)
        if entry is None:
            raise CheckpointError(f"{file} was not written by PixelProof", "Train it, or convert it first.")
        node = entry["detector"]
        nodes[name] = resolve(node["_target_"], name, from_checkpoint=True).for_checkpoint(node)
        seen |= set(entry.get("seen_generators") or ())
    among = found.fitted.get("reference", ())
    config: dict[str, Any] = {
        "_target_": f"{Ensemble.__module__}.{Ensemble.__name__}",
        "members": nodes,
        "rule": found.rule,
        "reference": len(among),
        "columns": {name: list(origin) for name, origin in origins.items()},
    }
    detector = build_for_scoring(config, from_checkpoint=True)
    for name, file in members.items():
        load_weights(detector.members[name], file)
    for name, value in found.fitted.items():
        getattr(detector.net, name).copy_(torch.as_tensor(value, dtype=torch.float64))  # a float would be rounded
    thresholds = {}
    if reference is not None and len(set(reference.images.fused_labels.tolist())) == 2:
        votes = torch.from_numpy(reference.values[:, [reference.names.index(name) for name in origins]])
        for rule in P_VALUES if found.rule in P_VALUES else (found.rule,):
            scores = sigmoid(detector.combined(votes, rule).numpy())
            thresholds[rule] = asdict(choose_threshold(scores, reference.images.fused_labels))
    chosen = {"threshold": thresholds.get(found.rule), THRESHOLDS: thresholds}
    entry = {"format": FORMAT, "detector": config, **chosen, "seen_generators": sorted(seen)}
    content = io.BytesIO()
    torch.save({"state_dict": detector.state_dict(), PASSPORT: entry}, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content.getvalue())
