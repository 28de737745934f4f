"""What AI-GenBench's evaluate_predictions_multiwindow does with an experiment, written anew from its description.

Imports nothing of ours: NumPy reads the files, scikit-learn scores.
"""

from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

MECHANISMS = ("immediate_future", "growing", "growing_whole")


def evaluate(experiment: Path) -> list[dict[str, float]]:
    """AUROC of each window, by their names of the periods; the last one's ``immediate_future`` is itself, as theirs."""
    folders = sorted(experiment.glob("window_*"), key=lambda folder: int(folder.name.split("_")[1]))
    found = []
    for number, folder in enumerate(folders):
        assert folder.name == f"window_{number}"
        with np.load(folder / "predictions_validate_all.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        scores, labels = arrays["fused_scores"], arrays["fused_labels"]
        ids, pairing = arrays["fused_generator_ids"], arrays["pairing"]
        id_of = {str(name): place for place, name in enumerate(arrays["generator_id_to_name"])}
        timeline = [[id_of[str(name)] for name in window] for window in arrays["windows_timeline"]]
        assert len(np.unique(arrays["fused_identifiers"])) == len(scores) == len(arrays["identifier"])
        assert len(timeline) == len(folders)
        owner = np.where(labels == 1, ids, pairing)  # a real image counts for the generator it is paired with
        upcoming = min(number + 1, len(timeline) - 1)
        chosen = {
            "immediate_future": timeline[upcoming],
            "growing": [one for row in timeline[: number + 1] for one in row],
            "growing_whole": [one for row in timeline[: upcoming + 1] for one in row],
        }
        masks = {name: np.isin(owner, generators) for name, generators in chosen.items()}
        found.append({name: float(roc_auc_score(labels[mask], scores[mask])) for name, mask in masks.items()})
    return found
