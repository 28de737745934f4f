"""Standardised multinomial logistic regression as plain arrays, which are stored without pickle."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinearClassifier:
    """Softmax of a linear map of standardised features."""

    classes: npt.NDArray[np.str_]  # [C] names
    features: npt.NDArray[np.str_]  # [D] names
    mean: Floats  # [D]
    scale: Floats  # [D], standard deviations; 1 where a feature never varies
    coef: Floats  # [C, D]
    intercept: Floats  # [C]

    def log_proba(self, x: Floats) -> Floats:
        """Log-probabilities [N, C] of rows [N, D] of :attr:`features`, as if classes were equally frequent."""
        if x.ndim != 2 or x.shape[1] != len(self.features):
            raise ValueError(f"expected rows of {len(self.features)} features, got shape {x.shape}")
        logits = ((x - self.mean) / self.scale) @ self.coef.T + self.intercept
        logits = logits - logits.max(1, keepdims=True)
        result: Floats = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return result


def fit_linear_classifier(
    x: Floats, y: npt.NDArray[np.str_], features: list[str], *, C: float = 1.0, classes: tuple[str, ...] | None = None
) -> LinearClassifier:
    """Fit on rows [N, D] and names [N], with equal weight for every class, whatever its number of rows.

    Args:
        x: Finite features.
        y: Class of each row.
        features: Names of the columns.
        C: Inverse strength of the penalty.
        classes: Order of the classes in the result; all must occur in ``y``. Sorted by default.

    Raises:
        ValueError: If a feature is not finite (named), a class has no row, or names and columns differ in number.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import and only needed for fitting

    x = np.asarray(x, dtype=np.float64)
    if x.shape != (len(y), len(features)):
        raise ValueError(f"{len(y)} labels and {len(features)} feature names do not match rows of shape {x.shape}")
    if bad := [name for name, column in zip(features, x.T, strict=True) if not np.isfinite(column).all()]:
        raise ValueError(f"features hold values that are not finite: {', '.join(bad)}")
    names = np.unique(y) if classes is None else np.array(classes)
    if absent := sorted(set(names.tolist()) ^ set(y.tolist())):
        raise ValueError(f"classes and rows disagree on: {', '.join(absent)}")
    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-12 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
    model = LogisticRegression(C=C, class_weight="balanced", max_iter=2000).fit((x - mean) / scale, y)
    coef, intercept = model.coef_, model.intercept_
    if len(names) == 2:  # scikit-learn then stores only the log-odds of the second class
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    order = [model.classes_.tolist().index(name) for name in names.tolist()]
    return LinearClassifier(names, np.array(features), mean, scale, coef[order], intercept[order])
