#!/bin/sh
# scikit-learn 1.9.1: the temperature that CalibratedClassifierCV(method="temperature") finds for two classes.
#
# Guess, written first: for a classifier with a decision function z = log p/(1-p), `beta_` is 1/T, the factor of z that
# maximises the likelihood.
# Seen: `beta_` is half of it, because the classes get the logits -z and z, which lie 2z apart; the same classifier with
# predict_proba has the factor itself. The probabilities are equal; a temperature read from the object, to be reported
# or applied to logits, is twice the right one for the first and right for the second.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
"$folder/venv/bin/python" - <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator


class Detector(ClassifierMixin, BaseEstimator):
    """The feature is the logit already."""

    def fit(self, x, y):
        self.classes_ = np.array([0, 1])
        return self

    def predict(self, x):
        return (x[:, 0] > 0).astype(int)


class WithLogits(Detector):
    def decision_function(self, x):
        return x[:, 0]


class WithProbabilities(Detector):
    def predict_proba(self, x):
        return np.stack([expit(-x[:, 0]), expit(x[:, 0])], axis=1)


print(*(f"{name} {version(name)}" for name in ("scikit-learn", "scipy", "numpy")))
random = np.random.default_rng(0)
labels = random.integers(0, 2, 4000)
logits = 3 * random.normal(2 * labels - 1, np.sqrt(2))  # three times too confident
sign = 2 * labels - 1
best = np.exp(
    minimize_scalar(lambda b: np.logaddexp(0, -sign * logits * np.exp(b)).mean(), bounds=(-5, 5), method="bounded").x
)
print(f"factor of greatest likelihood, found directly: {best:.4f} (temperature {1 / best:.3f})")
found = {}
for kind in (WithLogits, WithProbabilities):
    x = logits[:, None]
    calibrated = CalibratedClassifierCV(FrozenEstimator(kind().fit(x, labels)), method="temperature").fit(x, labels)
    found[kind] = float(calibrated.calibrated_classifiers_[0].calibrators[0].beta_)
    gap = np.abs(calibrated.predict_proba(x)[:, 1] - expit(best * logits)).max()
    print(f"{kind.__name__}: beta_ {found[kind]:.4f} (temperature {1 / found[kind]:.3f}); probabilities within {gap:.1e}")
print("expected: the same beta_ for both")
sys.exit(
    not (abs(found[WithLogits] - best / 2) < 1e-4 * best and abs(found[WithProbabilities] - best) < 1e-4 * best)
)
PY
