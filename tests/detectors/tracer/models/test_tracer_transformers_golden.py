"""Both transformers against the originals, and one parallel pass against the cached token-by-token walk."""

import numpy as np
import pytest
import torch

from detectors.tracer.models.var_transformer import KeyValueCache
from tests.detectors.tracer.tracer_golden_models import (
    GoldenPath,
    check_probes,
    rar_transformer,
    tokens,
    var_transformer,
    var_vqvae,
    vectors,
)

pytestmark = pytest.mark.golden


def log_prob(logits: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return logits.log_softmax(-1).gather(-1, at[..., None])[..., 0]


def spread_over(full: torch.Tensor, stored: np.ndarray) -> torch.Tensor:
    """Every n-th position, as many as are stored."""
    step = -(-full.shape[1] // stored.shape[1])
    return full[:, ::step]


@pytest.mark.parametrize("case", ["tiny", "10scale"])
@torch.no_grad()
def test_var_teacher_forced(golden_path: GoldenPath, case: str) -> None:
    z = vectors(golden_path, f"var_transformer_{case}")
    model = var_transformer(golden_path, case)
    at, labels = tokens(z), torch.from_numpy(z["labels"])
    fed = var_vqvae(golden_path, case).quantize.teacher_input(at)
    check_probes(model, z, lambda: model(labels[:1], fed[:1]), atol=1e-4)
    logits = model(labels, fed)
    null = model(torch.full_like(labels, model.null_label), fed)
    np.testing.assert_allclose(spread_over(logits, z["logits"]), z["logits"], atol=1e-4)
    np.testing.assert_allclose(spread_over(null, z["logits_null"]), z["logits_null"], atol=1e-4)
    np.testing.assert_allclose(log_prob(logits, at), z["lp"], atol=1e-4)
    np.testing.assert_allclose(log_prob(null, at), z["lp_null"], atol=1e-4)
    entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
    np.testing.assert_allclose(entropy, z["entropy"], atol=1e-4)
    assert (logits.argmax(-1).numpy() == z["argmax"]).mean() > 0.999
    model.blocks[0].attn.scale_mul_1H11[0, 0] = 5.0
    clamped = spread_over(model(labels[:1], fed[:1]), z["logits_clamp_row0"])
    np.testing.assert_allclose(clamped, z["logits_clamp_row0"], atol=1e-4)


@torch.no_grad()
def test_var_parallel_equals_cached_and_prefix(golden_path: GoldenPath) -> None:
    z = vectors(golden_path, "var_transformer_tiny")
    model, quantiser = var_transformer(golden_path, "tiny"), var_vqvae(golden_path, "tiny").quantize
    labels, at = torch.from_numpy(z["labels"]), tokens(z)
    fed = quantiser.teacher_input(at)
    logits = model(labels, fed)
    cache, first = KeyValueCache(), 0
    for scale, n in enumerate(model.lengths):
        given = None if scale == 0 else fed[:, first - 1 : first - 1 + n]
        torch.testing.assert_close(
            model.step(labels, scale, given, cache), logits[:, first : first + n], atol=1e-5, rtol=1e-5
        )
        first += n
        # the tokens of whole scales give the same logits whatever comes after
        prefix = quantiser.teacher_input(at[:, :first])
        torch.testing.assert_close(model(labels, prefix), logits[:, :first], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="ends inside a scale"):
        model(labels, fed[:, :1])
    with pytest.raises(ValueError, match="end inside a scale"):
        quantiser.teacher_input(at[:, :2])


@pytest.mark.parametrize("case", ["tiny", "256"])
@torch.no_grad()
def test_rar_teacher_forced(golden_path: GoldenPath, case: str) -> None:
    z = vectors(golden_path, f"rar_transformer_{case}")
    model = rar_transformer(golden_path, case)
    at, labels = tokens(z), torch.from_numpy(z["labels"])
    np.testing.assert_array_equal(model.condition_ids(labels), z["condition_ids"])
    null_labels = torch.full_like(labels, model.null_label)
    assert model.condition_ids(null_labels)[0] == z["null_id"]

    def whole(row: slice) -> torch.Tensor:
        hidden = model.run(labels[row], model.sequence(labels[row], at[row]))
        return model.project(hidden)

    check_probes(model, z, lambda: whole(slice(0, 1)), atol=1e-4)
    np.testing.assert_allclose(whole(slice(None))[:, -1], z["logits_last_slot"], atol=1e-4)
    logits, null = model(labels, at), model(null_labels, at)
    np.testing.assert_allclose(spread_over(logits, z["logits"]), z["logits"], atol=1e-4)
    np.testing.assert_allclose(spread_over(null, z["logits_null"]), z["logits_null"], atol=1e-4)
    np.testing.assert_allclose(log_prob(logits, at), z["lp"], atol=1e-4)
    np.testing.assert_allclose(log_prob(null, at), z["lp_null"], atol=1e-4)
    if "orders" in z:
        orders = tokens(z, "orders")
        np.testing.assert_array_equal(at.gather(1, orders), z["perm_labels"])
        np.testing.assert_allclose(model(labels, at, orders), z["perm_logits"], atol=1e-4)


@torch.no_grad()
def test_rar_parallel_equals_cached_and_prefix(golden_path: GoldenPath) -> None:
    z = vectors(golden_path, "rar_transformer_tiny")
    model = rar_transformer(golden_path, "tiny")
    at, labels = tokens(z), torch.from_numpy(z["labels"])
    logits = model(labels, at)
    cache = KeyValueCache()
    for i in range(model.length):
        step = model.step(labels, i, None if i == 0 else at[:, i - 1], cache)
        torch.testing.assert_close(step, logits[:, i], atol=1e-5, rtol=1e-5)
    half = model.length // 2
    torch.testing.assert_close(model(labels, at[:, :half]), logits[:, :half], atol=1e-5, rtol=1e-5)
    raster = torch.arange(model.length).expand(len(at), -1)
    torch.testing.assert_close(model(labels, at, raster), logits)
    with pytest.raises(ValueError, match="positions"):
        model(labels, torch.cat([at, at], 1))
    with pytest.raises(ValueError, match="whole sequence"):
        model(labels, at[:, :half], raster)


@pytest.mark.golden
@pytest.mark.parametrize("family", ["var", "rar"])
@torch.no_grad()
def test_bfloat16_blocks_stay_near(golden_path: GoldenPath, family: str) -> None:
    """Blocks in bfloat16, head and softmax in float32: log-probabilities within what bfloat16 can resolve."""
    z = vectors(golden_path, f"{family}_transformer_tiny")
    at, labels = tokens(z), torch.from_numpy(z["labels"])
    if family == "var":
        model = var_transformer(golden_path, "tiny")
        fed = var_vqvae(golden_path, "tiny").quantize.teacher_input(at)
    else:
        model, fed = rar_transformer(golden_path, "tiny"), at
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(labels, fed)
    assert logits.dtype == torch.float32
    difference = log_prob(logits, at) - torch.from_numpy(z["lp"])
    assert difference.abs().mean() < 0.05
    assert difference.abs().max() > 0  # bfloat16 was really used
