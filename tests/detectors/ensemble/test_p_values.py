"""P-values in torch are those of `benchmarks.real_stats`, and combine to RealStats' own numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.real_stats import p_values as in_numpy
from detectors.ensemble.p_values import combined_p_value, exact_p_values


def same(found: torch.Tensor, wanted: Any) -> None:
    np.testing.assert_allclose(found.numpy(), wanted, rtol=0, atol=1e-12)


@pytest.mark.golden
def test_golden_combination(golden_path: Callable[[str], Path]) -> None:
    with np.load(golden_path("zoo_realstats.npz"), allow_pickle=False) as stored:
        golden = dict(stored)
    p = torch.from_numpy(golden["candidate_p_both_f64"])
    few = [golden["names"].tolist().index(name) for name in "ABD"]
    for name, rule in (("manual-stouffer", "stouffer"), ("minp", "minimum")):
        same(combined_p_value(p, rule), golden[f"ensemble_{name}_p_f64"])
        same(combined_p_value(p[:, few], rule), golden[f"ensemble_{name}_ABD_p_f64"])
    reference, candidates = (golden[key].astype(np.float64) for key in ("reference_f32", "candidates_f32"))
    each = [in_numpy.exact_p_values(r, c) for r, c in zip(reference, candidates, strict=True)]
    same(exact_p_values(torch.from_numpy(reference.T), torch.from_numpy(candidates.T)), np.stack(each, 1))


def test_ties_and_values_outside_the_reference() -> None:
    reference, values = np.array([0.0, 1, 1, 1, 2]), np.array([-5.0, 0, 1, 1.5, 2, 9])
    found = exact_p_values(torch.from_numpy(reference)[:, None], torch.from_numpy(values)[:, None])
    same(found[:, 0], in_numpy.exact_p_values(reference, values))
    assert found.min() == pytest.approx(2 / 6)
