"""Routes from evidence to a class: right where the evidence says so, alike after saving, honest about folds."""

import numpy as np
import pytest

from contracts.errors import CheckpointError, ConfigError, DataError
from detectors.tracer.deciding.decision_files import fit_decision, load_decision, save_decision
from detectors.tracer.deciding.decisions import IMPOSSIBLE, check_truth, with_frequencies
from detectors.tracer.deciding.evidence import Evidence
from detectors.tracer.deciding.thresholds import Thresholding
from detectors.tracer.tracer import ROUTES, Tracer
from tasks.tracing.decide import Decisions
from tests.detectors.tracer.tracer_zoo import SIBLINGS, zoo

FAMILIES = {name: sibling.family for name, sibling in SIBLINGS.items()}
CLASSES = (*FAMILIES, "outlier")
LENGTHS = {"var": (1, 4), "rar": (4,)}
FIT = {"threshold": Thresholding(), "epochs": 150, "seed": 0}


def drawn(n=200, strength=3.0, seed=0):
    """Evidence in which a variant finds its own images likelier, and a family's losses are lower on its own images."""
    rng = np.random.default_rng(seed)
    truth = np.array([CLASSES[k % 5] for k in range(n)])
    features, lp, quant, enc = {}, {}, {}, {}
    for name, family in FAMILIES.items():
        own = (truth == name)[:, None]
        features[name] = rng.normal(size=(n, 3)).astype(np.float32) + strength * own
        ratio = rng.normal(size=(n, sum(LENGTHS[family]))) + strength * own
        null = rng.normal(-3, 0.3, size=ratio.shape)
        lp[name] = np.stack([null + ratio, null], -1).astype(np.float32)
    for family in LENGTHS:
        own = np.isin(truth, [name for name, of in FAMILIES.items() if of == family])
        quant[family] = np.exp(rng.normal(0, 0.4, n) - strength * own).astype(np.float32)
        enc[family] = np.exp(rng.normal(0, 0.4, n) - strength * own).astype(np.float32)
    names = dict.fromkeys(LENGTHS, ("a", "b", "c"))
    return Evidence(FAMILIES, {n: LENGTHS[f] for n, f in FAMILIES.items()}, names, features, lp, quant, enc), truth


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_learns_and_survives_saving(tmp_path, route):
    evidence, truth = drawn()
    decision = fit_decision(route, evidence, truth, **FIT)
    fresh, expected = drawn(seed=1)
    log_proba = decision.log_proba(fresh)
    assert log_proba.shape == (200, 5)
    assert (np.array(CLASSES)[log_proba.argmax(1)] == expected).mean() > 0.85
    save_decision(tmp_path / "d.npz", route, decision, FAMILIES)
    np.testing.assert_array_equal(load_decision(tmp_path / "d.npz", route, fresh).log_proba(fresh), log_proba)
    with pytest.raises(CheckpointError, match=f"is route {route}"):
        load_decision(tmp_path / "d.npz", "rule" if route != "rule" else "flat", fresh)


@pytest.mark.parametrize("route", ["calibrated", "flat", "prada"])
def test_probabilities_are_normalised_over_balanced_classes(route):
    evidence, truth = drawn(strength=1.0)
    posterior = with_frequencies(fit_decision(route, evidence, truth, **FIT).log_proba(evidence), _prior())
    np.testing.assert_allclose(np.exp(posterior).sum(1), 1, atol=1e-6)
    # fitted on equal numbers of each class, so no class is expected more often than another
    np.testing.assert_allclose(np.exp(posterior).mean(0), 0.2, atol=0.05)


def _prior(outlier=0.2):
    return dict.fromkeys(FAMILIES, (1 - outlier) / 4) | {"outlier": outlier}


def test_a_prior_moves_answers_its_own_way():
    evidence, truth = drawn(strength=0.7)
    log_proba = fit_decision("calibrated", evidence, truth, **FIT).log_proba(evidence)
    share = [(with_frequencies(log_proba, _prior(p)).argmax(1) == 4).mean() for p in (0.05, 0.2, 0.6)]
    assert share[0] < share[1] < share[2]


def test_the_rule_is_hard():
    evidence, truth = drawn()
    log_proba = fit_decision("rule", evidence, truth, **FIT).log_proba(evidence)
    outlier = log_proba[:, 4] == 0
    assert (log_proba[outlier, :4] < IMPOSSIBLE / 2).all()
    assert set(log_proba[:, 4].tolist()) == {0.0, IMPOSSIBLE}


def test_cross_fitting_sees_no_label_of_its_own_fold(tmp_path):
    """On evidence without information, an image's own label must not help: accuracy stays at chance."""
    evidence, truth = drawn(n=300, strength=0.0)
    ids = np.array([f"i{k}" for k in range(300)])
    decisions = Decisions(Tracer(zoo(tmp_path / "zoo"), routes=["flat"]), tmp_path)
    posterior = decisions.cross_score("flat", evidence, truth, ids)
    assert (np.array(CLASSES)[posterior.argmax(1)] == truth).mean() < 0.3
    inside = fit_decision("flat", evidence, truth, **FIT).log_proba(evidence)
    assert (np.array(CLASSES)[inside.argmax(1)] == truth).mean() > 0.3
    few = np.array([4, 0, 1, 2, 3])
    with pytest.raises(DataError, match="are in one of 5 folds"):
        decisions.cross_score("flat", evidence.take(few), truth[few], ids[few])


def test_classes_without_images_are_reported():
    evidence, truth = drawn(n=50)
    with pytest.raises(DataError, match=r"no outlier to fit on, but detector\.routes=flat needs"):
        check_truth(truth[truth != "outlier"], evidence, ("flat", "prada"))
    check_truth(truth[truth != "outlier"], evidence, ("rule", "prada"))
    with pytest.raises(DataError, match="no image by rar_m to fit on"):
        check_truth(truth[truth != "rar_m"], evidence, ("flat",))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"routes": ["calibrate"]}, "did you mean 'calibrated'"),
        ({"routes": []}, "routes is empty"),
        ({"quantiser": "icn"}, "did you mean 'icm'"),
        ({"labels": "classifier"}, "without a classifier"),
        ({"variants": ["var_x"]}, "'var_x' is not among the weights\n.*'var_s'"),
        ({"prior": {"var_s": 1.5}}, r"prior\.var_s=1\.5"),
        ({"prior": {"var16": 0.5}}, r"prior\.var16 is not a class"),
        ({"prior": {"var_s": 0.6, "var_m": 0.6}}, "sums to 1.2"),
        ({"threshold": {"strategy": "percentil"}}, "did you mean 'percentile'"),
        ({"threshold": {"shar": 0.9}}, "did you mean 'share'"),
        ({"folds": 1}, "folds=1"),
        ({"inverse": {"vqr": "x"}}, r"inverse\.vqr is unknown"),
    ],
)
def test_bad_settings_are_reported(tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        Tracer(zoo(tmp_path), **settings)
