"""How good probabilities are, and how good their order alone would allow them to be."""

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import brier, curve, ece, reliability

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


def nll(logits: Floats, labels: Labels) -> float:
    """Mean negative log-likelihood, in nats."""
    return float(np.logaddexp(0, np.where(labels == 1, -logits, logits)).mean())


def cllr(ratios: Floats, labels: Labels) -> float:
    """Cost of natural log-likelihood ratios in bits: 0 is perfect, 1 uninformative (Brümmer and du Preez 2006)."""
    generated, real = ratios[labels == 1], ratios[labels == 0]
    return float((np.logaddexp(0, -generated).mean() + np.logaddexp(0, real).mean()) / np.log(4))


def min_cllr(scores: Floats, labels: Labels) -> float:
    """The least `cllr` of any non-decreasing function of the scores, by pool adjacent violators."""
    from sklearn.isotonic import IsotonicRegression  # slow to import

    _, place = np.unique(scores, return_inverse=True)  # scikit-learn merges scores that are almost equal
    p = np.clip(IsotonicRegression().fit_transform(place.astype(np.float64), labels), 0, 1)
    with np.errstate(divide="ignore"):
        ratios = np.log(p) - np.log1p(-p) - np.log(labels.mean() / (1 - labels.mean()))
    return cllr(ratios, labels)


def eer(scores: Floats, labels: Labels) -> float:
    """Equal error rate: where false-positive and false-negative rate agree, linear between points of the ROC curve."""
    _, tp, fp = curve(scores, labels)
    fpr, tpr = np.append(0, fp) / fp[-1], np.append(0, tp) / tp[-1]
    return float(np.interp(0.0, fpr + tpr - 1, fpr))


def debiased_error(p: Floats, labels: Labels, samplings: int = 1) -> float:
    """Root of the mean squared difference of probability and share over bins of equal mass, less sampling noise.

    In a bin of n images, a share s of which is generated, sampling alone adds s (1 - s) / (n - 1) to the square, which
    is subtracted (Kumar, Liang & Ma 2019, section 5): the squared error is then unbiased, while the plug-in error of
    few images is mostly noise. 0 where noise explains all of it. There are 15 bins, or fewer so that each has two
    images; a bin that has one in spite of that, beside one of many equal scores, shows no noise and counts 0, as in the
    authors' code.

    Args:
        p: [N] P(generated).
        labels: [N].
        samplings: how often the noise is subtracted: twice for images resampled from a sample.
    """
    size, confidence, share = reliability(p, labels, max(1, min(15, labels.size // 2)))
    noise = samplings * share * (1 - share) / np.maximum(size - 1, 1)
    error = np.where(size > 1, np.square(confidence - share) - noise, 0.0)
    return float(np.sqrt(max(0.0, (size * error).sum() / labels.size)))


def measured(logits: Floats, labels: Labels, share: Floats, samplings: int = 1) -> dict[str, float]:
    """NLL, Brier, ECE (plug-in, debiased) and Cllr of logits [N].

    Each logit assumes a share [N] of generated images. ``samplings`` is 2 for a bootstrap sample, see `debiased_error`.
    """
    p = np.exp(-np.logaddexp(0, -logits))
    return {
        "nll": nll(logits, labels),
        "brier": brier(p, labels),
        "ece": ece(p, labels),
        "ece_debiased": debiased_error(p, labels, samplings),
        "cllr": cllr(logits - np.log(share / (1 - share)), labels),
    }


def ordered(scores: Floats, labels: Labels) -> dict[str, float]:
    """The least Cllr and the EER, which no increasing calibration changes."""
    return {"min_cllr": min_cllr(scores, labels), "eer": eer(scores, labels)}
