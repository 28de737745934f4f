"""RealStats: the published numbers, and p-values that keep what they promise."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.real_stats.independence import cliques, cramers_v, published_sample, selected, uniformity
from benchmarks.real_stats.p_values import BinnedReference, combined, exact_p_values, patch_statistics
from contracts.errors import ConfigError, DataError

RULES = {"manual-stouffer": "stouffer", "stouffer": "scipy_stouffer", "minp": "minimum"}


@pytest.fixture
def golden(golden_path: Callable[[str], Path]) -> dict[str, Any]:
    with np.load(golden_path("zoo_realstats.npz"), allow_pickle=False) as stored:
        return dict(stored)


def same(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.golden
@pytest.mark.parametrize("double", [False, True])
def test_golden_p_values(golden: dict[str, Any], double: bool) -> None:
    end, kind = ("_f64", np.float64) if double else ("", np.float32)
    references, candidates = (golden[key].astype(kind) for key in ("reference_f32", "candidates_f32"))
    both, of_reference = [], []
    for k, (reference, values) in enumerate(zip(references, candidates, strict=True)):
        binned = BinnedReference.of(reference, int(golden["cdf_bins"]))
        same(binned.edges, golden[f"bin_edges{end}"][k])
        same(binned.cdf, golden[f"cdf{end}"][k])
        same(binned.left(values), golden[f"candidate_p_left_unclipped{end}"][:, k])
        same(1 - binned.left(values), golden[f"candidate_p_right_unclipped{end}"][:, k])
        same(binned.both(values, clip=False), golden[f"candidate_p_both_unclipped{end}"][:, k])
        both.append(binned.both(values))
        of_reference.append(binned.both(reference))
    p, real = np.stack(both, 1), np.stack(of_reference, 1)
    same(p, golden[f"candidate_p_both{end}"])
    same(real, golden[f"reference_p_both{end}"])
    same(cramers_v(real, int(golden["chi2_bins"]), published=True), golden[f"cramers_v{end}"])
    spearman = np.abs(stats.spearmanr(real).statistic)
    np.fill_diagonal(spearman, 0)
    same(spearman, golden[f"abs_spearman{end}"])
    few = [golden["names"].tolist().index(name) for name in "ABD"]
    for name, rule in RULES.items():
        statistic, whole = combined(p, rule)
        same(statistic, golden[f"ensemble_{name}_stat{end}"])
        same(whole, golden[f"ensemble_{name}_p{end}"])
        same(combined(p[:, few], rule)[1], golden[f"ensemble_{name}_ABD_p{end}"])


@pytest.mark.golden
def test_golden_selection(golden: dict[str, Any]) -> None:
    names, real = golden["names"].tolist(), golden["reference_p_both"]
    found = cliques(golden["cramers_v"], float(golden["v_threshold"]))
    assert ["".join(names[k] for k in clique) for clique in found] == golden["maximal_cliques"].tolist()
    for key, few, every in zip(
        golden["ks_names"].tolist(), golden["ks_p_subsample_seed38"], golden["ks_p_all"], strict=True
    ):
        clique, name = key.split(":")
        p = combined(real[:, [names.index(each) for each in clique]], RULES[name])[1]
        same(uniformity(published_sample(p, 38)), few)
        same(uniformity(p), every)
    chosen = selected(real, found, "minimum", 0.5, [names.index(each) for each in "DF"], published_seed=38)
    theirs = str(golden["selected_minp_ks0.5_preferred_D_F"])  # among equally good sets, theirs depends on hashes
    ours = "".join(names[k] for k in chosen)
    assert (len(ours), set(ours) & set("DF")) == (len(theirs), set(theirs) & set("DF"))
    assert len(selected(real, found, "minimum", 0.5, published_seed=38)) == int(golden["selected_minp_ks0.5_size_only"])
    table = np.array([[0.05, 0.9], [0.06, 0.1]])
    assert cramers_v(table, 2, published=True)[0, 1] == golden["cramers_v_when_a_row_is_empty"]


@pytest.mark.golden
def test_golden_patches_and_ties(golden: dict[str, Any]) -> None:
    mean, std = patch_statistics(golden["patch_scores_f32"])
    same(mean, golden["patch_mean"])
    same(std, golden["patch_std"])
    same(patch_statistics(golden["patch_scores_f32"][:, :1])[0], golden["patch_single"])
    binned = BinnedReference.of(golden["ties_reference"], 4)
    same(binned.edges, golden["ties_edges"])
    same(binned.cdf, golden["ties_cdf"])
    same(binned.left(golden["ties_query"]), golden["ties_p_left"])
    same(binned.both(golden["ties_query"]), golden["ties_p_both"])


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(-4, 4))
@settings(max_examples=30)
def test_exact_p_values_are_valid_for_every_member(values: list[int], other: int) -> None:
    pool = np.array([*values, other], dtype=float)
    p = np.array([exact_p_values(np.delete(pool, k), pool[k : k + 1])[0] for k in range(len(pool))])
    for level in np.unique(p):  # exchangeable: any member could have been the new one
        assert (p <= level).mean() <= level + 1e-12
    assert p.min() > 0
    mirrored = exact_p_values(-pool[:-1], -pool[-1:])
    assert mirrored[0] == exact_p_values(pool[:-1], pool[-1:])[0]


def test_the_published_p_values_have_the_flaws_that_the_exact_ones_lack() -> None:
    reference = np.random.default_rng(0).normal(size=500)
    top = np.array([reference.max()])
    assert BinnedReference.of(reference, 100).both(top)[0] < 1e-9
    assert exact_p_values(reference, top)[0] == 4 / 501


def test_combined_p_values_of_independent_ones_are_uniform() -> None:
    p = np.random.default_rng(1).uniform(size=(4000, 3))
    for rule in ("stouffer", "minimum"):
        assert uniformity(combined(p, rule)[1]) > 0.01


def test_a_dependence_that_folding_hides_is_found_in_ranks() -> None:
    x = np.random.default_rng(2).uniform(size=3000)
    pair = np.stack([x, x], 1)
    assert cramers_v(pair)[0, 1] > 0.99
    assert cliques(cramers_v(pair)) == []
    constant = np.stack([x, np.full(3000, 0.5)], 1)
    assert cramers_v(constant)[0, 1] == 0
    assert cramers_v(constant, published=True)[0, 1] == -1


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="rule='stoufer'"):
        combined(np.ones((1, 2)), "stoufer")
    with pytest.raises(DataError, match="no real image"):
        exact_p_values(np.zeros(0), np.zeros(1))
    with pytest.raises(DataError, match="1 of the values are NaN"):
        exact_p_values(np.zeros(2), np.array([np.nan]))
    with pytest.raises(DataError, match="published test uses 1000"):
        published_sample(np.zeros(999), 0)
    with pytest.raises(DataError, match="none of 1 sets"):
        selected(np.full((50, 2), 0.5), [(0, 1)])
