"""AI-GenBench's metrics against the original's online and offline figures, and against scikit-learn."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from benchmarks.ai_genbench.binary_metrics import F1_STEPS, RankedScores, f1_grid
from benchmarks.ai_genbench.metrics import (
    Evaluated,
    auroc_matrix,
    headline,
    period_windows,
    stage_metrics,
    windows_of,
)
from benchmarks.predictions import read_predictions
from contracts.errors import DataError

ORIGINAL_NAMES = {
    "past": "growing",
    "next": "immediate_future",
    "whole": "growing_whole",
    "strict_past": "past",
    "all": "all",
}
"""The original's names of the periods."""

OFFLINE = {
    "roc_auc": "roc_auc",
    "average_precision": "average_precision",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "tnr": "specificity",
    "tp": "true_positives",
    "tn": "true_negatives",
    "fp": "false_positives",
    "fn": "false_negatives",
    "n_real_images": "n_real",
    "n_fake_images": "n_generated",
}
ONLINE = {
    "BinaryAUROC": ("roc_auc", 2e-7),
    "BinaryAveragePrecision": ("average_precision", 2e-7),
    "BalancedBinaryAccuracy": ("balanced_accuracy", 1e-7),
    "BinaryF1Score": ("f1", 1e-7),
    "BinaryPrecision": ("precision", 1e-7),
    "BinaryRecall": ("recall", 1e-7),
    "BinarySpecificity": ("specificity", 1e-7),
    "BestBinaryThresholdF1": ("best_f1_threshold", 0.0),
}


class Golden:
    def __init__(self, facts, arrays):
        self.facts = json.loads(facts.read_text())
        self.names = self.facts["generator_id_to_name"]
        self.windows = [[self.names.index(name) for name in window] for window in self.facts["windows_timeline"]]
        with np.load(arrays) as loaded:
            self.arrays = dict(loaded)

    def stages(self, case):
        return [int(name.removeprefix("w")) for name in self.facts["cases"][case]["online"]]

    def predictions(self, case, stage, refuse=False):
        scores = self.arrays[f"{case}/w{stage}/fused_scores"]
        crops = f"{case}/w{stage}/crop_scores"
        if refuse and crops in self.arrays:
            index = self.arrays[f"{case}/w{stage}/crop_image_row"]
            sums = np.bincount(index, weights=self.arrays[crops])
            scores = (sums / np.bincount(index)).astype(np.float32)
        rest = [self.arrays[f"{case}/{name}"] for name in ("fused_labels", "fused_generator_ids", "pairing")]
        return Evaluated(scores, *rest)

    def compute(self, case, stage, paired=True, refuse=False):
        threshold = self.facts["classification_threshold"]
        bfloat16 = "bf16" in self.facts["cases"][case]["settings"].get("precision", "")
        return stage_metrics(
            self.predictions(case, stage, refuse), stage, self.windows, threshold, paired, bfloat16=bfloat16
        )


@pytest.fixture(scope="module")
def golden(golden_path):
    return Golden(golden_path("aigenbench_metrics/metrics.json"), golden_path("aigenbench_metrics/predictions.npz"))


@pytest.mark.golden
@pytest.mark.parametrize("paired", [True, False])
def test_offline_figures(golden, paired):
    compared = 0
    for case, facts in golden.facts["cases"].items():
        for stage in golden.stages(case):
            ours = golden.compute(case, stage, paired, refuse=True)
            for period, theirs in ORIGINAL_NAMES.items():
                expected = facts["offline"][f"w{stage}"].get(theirs + ("" if paired else "__no_pairing"))
                if expected is None or period not in ours.periods:
                    continue
                for key, field in OFFLINE.items():
                    value = getattr(ours.periods[period], field)
                    assert value == pytest.approx(expected[key], abs=1e-12), f"{case} w{stage} {theirs} {key}"
                    compared += 1
    assert compared


@pytest.mark.golden
def test_online_figures(golden):
    for case, facts in golden.facts["cases"].items():
        stage_name = facts["settings"].get("stage", "validate")
        for stage in golden.stages(case):
            ours, expected = golden.compute(case, stage), facts["online"][f"w{stage}"]
            for period, theirs in ORIGINAL_NAMES.items():
                prefix = "" if period == "all" else f"{theirs}_"
                for key, (field, tolerance) in ONLINE.items():
                    value = expected.get(f"{prefix}{stage_name}_{key}_epoch/all")
                    if value is not None and period in ours.periods:
                        actual = getattr(ours.periods[period], field)
                        assert np.float32(actual) == pytest.approx(value, abs=tolerance), f"{case} w{stage} {key}"
            for generator, recall in ours.recall_per_generator.items():
                logged = golden.names[generator].replace(" ", "_").replace(".", "_")
                assert recall == pytest.approx(expected[f"{stage_name}_BinaryRecall_epoch/{logged}"], abs=1e-7)


@pytest.mark.golden
def test_means_over_time(golden):
    last = len(golden.windows) - 1
    for case, facts in golden.facts["cases"].items():
        if golden.stages(case) != list(range(last + 1)):
            continue
        stages = [golden.compute(case, stage, refuse=True) for stage in range(last + 1)]
        for metric in ("roc_auc", "average_precision", "accuracy"):
            ours = headline(stages, metric)

            def expected(theirs, stop, metric=metric, facts=facts):
                return np.mean([facts["offline"][f"w{stage}"][theirs][metric] for stage in range(stop)])

            assert ours.next == pytest.approx(expected("immediate_future", last), abs=1e-9)
            assert ours.past_without_last == pytest.approx(expected("growing", last), abs=1e-9)
            assert ours.past == pytest.approx(expected("growing", last + 1), abs=1e-9)
            assert ours.whole_without_last == pytest.approx(expected("growing_whole", last), abs=1e-9)
            assert ours.whole == pytest.approx(expected("growing_whole", last + 1), abs=1e-9)
        # the original scores the last stage's own window as its Next; here that stands in the matrix alone
        assert "next" not in stages[last].periods
        own = facts["offline"][f"w{last}"]["immediate_future"]["roc_auc"]
        assert auroc_matrix(stages)[last, last] == pytest.approx(own, abs=1e-9)
        for stage in range(last):
            following = facts["offline"][f"w{stage}"]["immediate_future"]["roc_auc"]
            assert auroc_matrix(stages)[stage, stage + 1] == pytest.approx(following, abs=1e-9)


@pytest.mark.golden
@pytest.mark.parametrize(("kind", "case"), [("single_view", "plain_fp32"), ("multicrop", "multicrop_fp32")])
def test_dumps_of_the_original_give_the_same_table(golden_path, kind, case):
    facts = json.loads(golden_path("aigenbench_metrics/metrics.json").read_text())["cases"][case]
    dump = read_predictions(golden_path(f"aigenbench_dump/predictions_validate_all__{kind}.npz"))
    ours = stage_metrics(Evaluated.of(dump), 0, windows_of(dump))
    for period, theirs in ORIGINAL_NAMES.items():
        if period in ours.periods:
            expected = facts["offline"]["w0"][theirs]["roc_auc"]
            assert ours.periods[period].roc_auc == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 12))
@settings(max_examples=25)
def test_against_scikit_learn_with_ties(seed, size, levels):
    draw = np.random.default_rng(seed)
    labels = np.concatenate([[0, 1], draw.integers(0, 2, size - 2)])
    scores = (draw.integers(0, levels + 1, size) / levels).astype(np.float32)
    ours = RankedScores(scores, labels).select(threshold=0.3)
    assert ours.roc_auc == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores), abs=1e-12)
    assert ours.average_precision == pytest.approx(sklearn_metrics.average_precision_score(labels, scores), abs=1e-12)
    decided = scores > 0.3
    assert ours.f1 == pytest.approx(sklearn_metrics.f1_score(labels, decided, zero_division=0), abs=1e-12)
    assert ours.balanced_accuracy == pytest.approx(sklearn_metrics.balanced_accuracy_score(labels, decided), abs=1e-12)
    best = [sklearn_metrics.f1_score(labels, scores >= t, zero_division=0) for t in f1_grid()[:: F1_STEPS // 6]]
    assert ours.best_f1 >= max(best) - 1e-12
    mask = draw.random(size) < 0.5
    mask[:2] = True
    part = RankedScores(scores, labels).select(mask)
    assert part.roc_auc == pytest.approx(sklearn_metrics.roc_auc_score(labels[mask], scores[mask]), abs=1e-12)
    assert part == RankedScores(scores[mask], labels[mask]).select()


def test_f1_grid_is_torch_linspace():
    import torch

    # torch without vector instructions rounds some of them otherwise
    ulps = 0 if torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") else 1
    np.testing.assert_array_max_ulp(f1_grid(), torch.linspace(0, 1, F1_STEPS).numpy(), ulps)


def test_one_sided_subsets_are_nan_not_zero():
    only_real = RankedScores([0.2, 0.9], [0, 0]).select()
    assert np.isnan([only_real.roc_auc, only_real.average_precision, only_real.recall]).all()
    assert only_real.specificity == 0.5
    nothing = RankedScores([0.2], [1]).select(np.array([False]))
    assert np.isnan(nothing.accuracy)
    assert nothing.n_generated == 0


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, np.nan], [0, 1], "finite"),
        ([0.1, 3.0], [0, 1], "sigmoid"),
        ([0.1], [2], r"\[2\]"),
        ([0.1], [0, 1], "match"),
    ],
)
def test_bad_scores_are_refused(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        RankedScores(scores, labels)


def synthetic(images=80, seed=0):
    draw = np.random.default_rng(seed)
    per_generator = images // 8
    generators = np.repeat(np.arange(1, 5), per_generator)
    ids = np.concatenate([np.zeros_like(generators), generators])
    pairing = np.concatenate([draw.permutation(generators), np.full_like(generators, -1)])
    return Evaluated(draw.random(ids.size).astype(np.float32), (ids != 0).astype(np.int64), ids, pairing)


def test_the_last_stage_has_no_next_and_needs_all_stages():
    windows = [[1, 2], [3], [4]]
    stages = [stage_metrics(synthetic(seed=stage), stage, windows) for stage in range(3)]
    assert "next" not in stages[2].periods
    assert "strict_past" not in stages[0].periods
    assert headline(stages).next == pytest.approx(np.mean([s.periods["next"].roc_auc for s in stages[:2]]))
    assert stages[0].periods["next"].n_real == stages[0].periods["next"].n_generated == 10
    with pytest.raises(ValueError, match=r"0\.\.2 once, not \[0, 1\]"):
        headline(stages[:2])
    with pytest.raises(ValueError, match="'auc' is none"):
        headline(stages, "auc")
    with pytest.raises(ValueError, match="stage 3 does not exist"):
        period_windows("next", 3, 3)


def test_generators_of_overlapping_windows_belong_to_the_earliest():
    predictions = synthetic()
    overlapping = stage_metrics(predictions, 0, [[1, 2], [2, 3, 4]])
    apart = stage_metrics(predictions, 0, [[1, 2], [3, 4]])
    assert overlapping.periods == apart.periods


@pytest.mark.golden
def test_dumps_without_usable_windows_are_refused(golden_path):
    dump = read_predictions(golden_path("aigenbench_dump/predictions_validate_all__single_view.npz"))
    timeline = dump.windows_timeline
    for changed, message in [
        (timeline[:0, :0], "holds no windows_timeline"),
        (np.char.replace(timeline, timeline[0, 0], "Sora"), "names Sora"),
        (timeline[1:], f"images of .*{timeline[0, 0]}"),
    ]:
        with pytest.raises(DataError, match=message):
            windows_of(dataclasses.replace(dump, windows_timeline=changed))


def test_labels_must_fit_generators():
    good = synthetic()
    with pytest.raises(DataError, match="disagree"):
        Evaluated(good.scores, 1 - good.labels, good.generator_ids, good.pairing)
    with pytest.raises(ValueError, match="shape"):
        Evaluated(good.scores[1:], good.labels, good.generator_ids, good.pairing)


def test_random_scores_of_a_run_of_the_real_size():
    draw = np.random.default_rng(1)
    ids = draw.permutation(np.repeat(np.concatenate([np.zeros(36, int), np.arange(1, 37)]), 1000))
    pairing = np.full(ids.size, -1)
    pairing[ids == 0] = draw.permutation(np.repeat(np.arange(1, 37), 1000))
    windows = [list(range(first, first + 4)) for first in range(1, 37, 4)]
    runs = [Evaluated(draw.random(ids.size).astype(np.float32), (ids != 0).astype(int), ids, pairing) for _ in windows]
    stages = [stage_metrics(run, stage, windows) for stage, run in enumerate(runs)]
    assert headline(stages).whole == pytest.approx(0.5, abs=0.01)


def test_metrics_and_windows_start_without_torch():
    code = (
        "import sys; from benchmarks.ai_genbench import binary_metrics, metrics, tables;"
        "from benchmarks.ai_genbench.protocol import generators, replay, seeds, validation, windows;"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
