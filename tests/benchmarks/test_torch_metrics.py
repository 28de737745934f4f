"""Metric classes of torchmetrics against scikit-learn, and the refusals of classes that are no metric of scores."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from math import isnan

import numpy as np
import pytest
import sklearn.metrics as sk
import synthetic_predictions
import torchmetrics
import torchmetrics.classification as tm
import torchmetrics.image
import torchmetrics.nominal
import torchmetrics.regression

from benchmarks.attribution.measures import Attribution, own_figures
from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.torch_metrics import TorchMetric, check_metrics, is_torch_metric
from callbacks.validation_metrics import validation_values
from contracts.errors import ConfigError
from tasks.experiment.stage_folder import StageFolder
from tasks.scoring.report import report

CLASSES = ("a", "b", "c", "outlier")


def made(kind, **given):
    return TorchMetric("mine", partial(kind, **given))


def dump(**columns):
    return synthetic_predictions.draw(images=90, decimals=1, **columns)


def tracer_dump():
    p = dump(generators=("a", "b", "c"))
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(90, 4)).astype(np.float32)
    logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return replace(p, fused_multi_logits=logits, crop_multi_logits=logits, class_names=np.array(CLASSES))


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        (tm.BinaryMatthewsCorrCoef, {}, lambda y, s, t: sk.matthews_corrcoef(y, s > t)),
        (tm.BinaryCohenKappa, {}, lambda y, s, t: sk.cohen_kappa_score(y, s > t)),
        (tm.BinaryFBetaScore, {"beta": 2.0}, lambda y, s, t: sk.fbeta_score(y, s > t, beta=2)),
        (tm.BinaryMatthewsCorrCoef, {"threshold": 0.3}, lambda y, s, _: sk.matthews_corrcoef(y, s > np.float32(0.3))),
        (tm.BinaryAUROC, {}, lambda y, s, _: sk.roc_auc_score(y, s)),
        (tm.AUROC, {"task": "binary"}, lambda y, s, _: sk.roc_auc_score(y, s)),
        (tm.MatthewsCorrCoef, {"task": "binary"}, lambda y, s, t: sk.matthews_corrcoef(y, s > t)),
        (torchmetrics.Accuracy, {"task": "multiclass"}, lambda y, s, _: sk.accuracy_score(y, s > 0.5)),
        (tm.MulticlassMatthewsCorrCoef, {}, lambda y, s, _: sk.matthews_corrcoef(y, s > 0.5)),
        (tm.MulticlassRecall, {}, lambda y, s, _: sk.balanced_accuracy_score(y, s > 0.5)),
        (torchmetrics.regression.MeanSquaredError, {}, lambda y, s, _: sk.brier_score_loss(y, s)),
        (torchmetrics.regression.PearsonCorrCoef, {}, lambda y, s, _: np.corrcoef(y, s)[0, 1]),
    ],
)  # fmt: skip
def test_a_binary_dump_gives_scikit_learns_values(kind, given, wanted):
    p, metric = dump(), made(kind, **given)
    check_metrics({"mine": metric})
    results = {r.key: r for r in evaluate(p, 0.62, {"mine": metric})}
    scores, labels = p.fused_scores.astype(np.float64), p.fused_labels
    for at, threshold in {"0.5": 0.5, "validation": 0.62}.items() if metric.thresholded else [("", 0.5)]:
        found = results["pooled", "", "mine", at].value
        assert found == pytest.approx(wanted(labels, scores, threshold), abs=1e-6)
    assert ("macro", "", "mine", at) in results
    values, _ = validation_values(p, {"mine": metric})
    assert values["val/mine"] == pytest.approx(wanted(labels, scores, 0.5), abs=1e-6)


def test_scores_just_at_a_threshold_are_called_as_everywhere_else():
    scores = np.float32([0.1, 0.7, 0.1, 0.7]).astype(np.float64)  # 0.1 lies above, 0.7 below its float32 neighbour
    labels = np.array([0, 1, 1, 1])
    metric = made(tm.BinaryAccuracy)
    for threshold in (0.1, 0.7, float(np.float32(0.1)), -1e-9, 1.5):
        assert metric(scores, labels, threshold) == ((scores > threshold) == labels).mean()


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        (tm.MulticlassAccuracy, {"average": "micro"}, lambda y, p: sk.accuracy_score(y, p.argmax(1))),
        (tm.MulticlassF1Score, {"num_classes": 4}, lambda y, p: sk.f1_score(y, p.argmax(1), average="macro")),
        (tm.MulticlassMatthewsCorrCoef, {}, lambda y, p: sk.matthews_corrcoef(y, p.argmax(1))),
        (tm.MulticlassAUROC, {}, lambda y, p: sk.roc_auc_score(y, p, multi_class="ovr")),
        (tm.CohenKappa, {"task": "multiclass"}, lambda y, p: sk.cohen_kappa_score(y, p.argmax(1))),
        (tm.BinaryAUROC, {}, lambda y, p: sk.roc_auc_score(y != 3, 1 - p[:, 3])),
        (tm.BinaryMatthewsCorrCoef, {}, lambda y, p: sk.matthews_corrcoef(y != 3, 1 - p[:, 3] > 0.5)),
    ],
)
def test_a_tracers_dump_gives_scikit_learns_values(kind, given, wanted):
    metric = made(kind, **given)
    check_metrics({"mine": metric}, classes=4)
    answers = Attribution.of(tracer_dump())
    (figure,) = own_figures(answers, {"mine": metric})
    posterior = np.exp(answers.log_posterior)
    posterior /= posterior.sum(1, keepdims=True)
    assert figure.value == pytest.approx(wanted(answers.truth, posterior), abs=1e-6)
    assert (figure.metric, figure.images) == ("mine", 90)
    values, _ = validation_values(tracer_dump(), {"mine": metric})
    if metric.multiclass:
        assert values["val/mine"] == figure.value


@pytest.mark.parametrize(
    ("kind", "given", "parts"),
    [
        (tm.BinaryROC, {}, ["more than one number", "BinaryMatthewsCorrCoef"]),
        (tm.BinaryConfusionMatrix, {}, ["more than one number ([2, 2])"]),
        (tm.MulticlassRecall, {"average": "none"}, ["more than one number ([2])"]),
        (tm.BinaryRecallAtFixedPrecision, {"min_precision": 0.9}, ["more than one number (tuple)"]),
        (tm.MultilabelF1Score, {}, ["several labels of an image", "Binary or Multiclass"]),
        (tm.Accuracy, {"task": "multilabel", "num_labels": 2}, ["several labels of an image"]),
        (
            tm.BinaryMatthewsCorrCoef,
            {"threshold": 7.0},
            ["refuses its arguments", "[0,1]", "leave out the arguments"],
        ),
        (tm.MulticlassAccuracy, {"num_classes": 5}, ["metrics.mine.num_classes=5", "2 classes", "filled in"]),
        (tm.BinaryAUROC, {"max_frp": 0.1}, ["refuses its arguments", "max_frp"]),
        (tm.BinaryFairness, {"num_groups": 2}, ["cannot be computed"]),
        (torchmetrics.image.PeakSignalNoiseRatio, {}, ["no scores against labels", "torchmetrics.classification"]),
        (torchmetrics.MeanMetric, {}, ["no scores against labels"]),
    ],
)
def test_a_class_that_is_no_metric_of_scores_is_refused(kind, given, parts):
    with pytest.raises(ConfigError) as refusal:
        check_metrics({"mine": made(kind, **given)})
    for part in ["metrics.mine", *parts]:
        assert part in str(refusal.value)


@pytest.mark.parametrize(("name", "part"), [("loss", "val/loss"), ("auroc", "exists already")])
def test_a_taken_name_is_refused(name, part):
    with pytest.raises(ConfigError, match=part):
        check_metrics({name: made(tm.BinaryMatthewsCorrCoef)})


def test_an_object_that_cannot_be_called_is_refused():
    with pytest.raises(ConfigError, match="is not a function"):
        check_metrics({"mine": object()})


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_undefined_not_zero(label):
    p = dump()
    alone = p.select(p.fused_labels == label)
    metric = made(tm.BinaryAUROC)
    pooled = next(r for r in evaluate(alone, metrics={"mine": metric}) if r.metric == "mine")
    assert isnan(pooled.value)
    assert "samples in targets" in pooled.reason
    assert "val/mine" not in validation_values(alone, {"mine": metric})[0]


def test_it_is_computed_once_and_has_no_interval():
    class Counted(tm.BinaryMatthewsCorrCoef):
        computed = 0

        def compute(self):
            Counted.computed += 1
            return super().compute()

    p, metrics = dump(), {"mine": made(Counted)}
    results = evaluate(p, metrics=metrics)
    before = Counted.computed
    bounded = Bootstrap(resamples=20)(p, results, metrics)
    assert Counted.computed == before
    assert all(isnan(r.low) for r in bounded if r.metric == "mine")
    assert any(not isnan(r.low) for r in bounded if r.metric == "auroc")


def test_it_never_waits_for_other_ranks(monkeypatch):
    def waits(*_args, **_more):
        raise AssertionError("gathered over ranks")

    monkeypatch.setattr("torch.distributed.is_available", lambda: True)
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torchmetrics.metric.gather_all_tensors", waits)
    assert made(tm.BinaryAUROC)(np.array([0.2, 0.9]), np.array([0, 1])) == 1


def test_what_counts_as_a_class_of_torchmetrics():
    assert is_torch_metric(tm.BinaryAUROC)
    assert is_torch_metric(torchmetrics.Accuracy)
    assert not is_torch_metric(torchmetrics.functional.accuracy)
    assert not is_torch_metric(Attribution)


def test_torchmetrics_is_not_imported_for_tables():
    code = "import sys, benchmarks.torch_metrics, benchmarks.attribution.measures; print('torchmetrics' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("tracer", [False, True])
def test_a_report_stores_and_shows_it(tracer, tmp_path):
    metrics = {"mcc": made(tm.BinaryMatthewsCorrCoef), "f": made(tm.MulticlassF1Score), "roc": made(tm.BinaryAUROC)}
    report(StageFolder(tmp_path, 0), "test", tracer_dump() if tracer else dump(), None, metrics)
    head = (tmp_path / "window_0/metrics_test.md").read_text().splitlines()[0]
    assert "| mcc @ val. |" in head
    assert ("| f |" in head) == (not tracer)
    assert "| roc |" in head
    if tracer:
        text = (tmp_path / "window_0/attribution_test.md").read_text()
        assert all(f"\n| {name} | 90 | " in text for name in metrics)
