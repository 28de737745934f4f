"""What a detector relies on: closed forms of the four AUROCs, and the sentences."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_predictions import draw

from benchmarks.evaluation import evaluate
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import Predictions, sigmoid
from benchmarks.robustness.bias import CONDITIONS, DeliveryBias, Figure, delivery_biases
from benchmarks.robustness.bias_show import markdown, tidy, trace, verdict
from contracts.errors import DataError

FEW = Bootstrap(resamples=50)


def with_logits(base: Predictions, logits: np.ndarray) -> Predictions:
    return replace(base, fused_logits=logits.astype(np.float32), fused_scores=sigmoid(logits))


def moved(base: Predictions, by: float) -> Predictions:
    return with_logits(base, base.fused_logits + by)


def one(clean: Predictions, delivered: Predictions, name: str = "jpeg-50") -> DeliveryBias:
    (found,) = delivery_biases(clean, {name: delivered}, FEW)
    return found


@pytest.mark.parametrize("by", [-1.5, 1.5])
def test_an_equal_shift_of_both_classes_is_bias_alone(by: float) -> None:
    clean = draw(images=200)
    found = one(clean, moved(clean, by))
    auroc = next(r.value for r in evaluate(clean) if (r.kind, r.metric) == ("pooled", "auroc"))
    assert found.aurocs["neither"].value == found.aurocs["both"].value == auroc
    assert (found.robustness.value, found.robustness.low, found.robustness.high) == (0, 0, 0)
    assert not found.robustness.significant
    assert found.bias.significant
    assert np.sign(found.bias.value) == np.sign(by)
    for shift in (found.shift_real, found.shift_generated):
        assert (shift.value, shift.low, shift.high) == pytest.approx((by, by, by), abs=1e-6)
    (line,) = verdict([found])
    looks = "generated" if by > 0 else "real"
    assert (
        f"relies on traces of JPEG compression: images of both classes look more {looks} after jpeg-50. AUROC" in line
    )


@pytest.mark.parametrize(
    ("real", "generated", "told"),
    [
        (0.0, -3.0, "After jpeg-50 generated images look more real, and no change of real images was found: the "
         "detector relies on traces of JPEG compression, which real images may have already, or jpeg-50 removes its "
         "signs of generated images. AUROC is"),
        (3.0, 0.0, "After jpeg-50 real images look more generated, and no change of generated images was found: the "),
        (3.0, -1.0, "After jpeg-50 real images look more generated and generated images more real: the bias says "),
    ],
)  # fmt: skip
def test_a_detector_that_loses_the_signs_of_a_class_is_not_said_to_rely_on_others(
    real: float, generated: float, told: str
) -> None:
    clean = draw(images=400)
    found = one(clean, with_logits(clean, clean.fused_logits + np.where(clean.fused_labels == 1, generated, real)))
    assert found.bias.significant
    assert verdict([found])[0].startswith(told)


def test_a_bias_that_no_mean_logit_shows_is_told_with_doubt() -> None:
    clean = draw(images=200)
    unmoved = Figure(0.1, -1.0, 1.0)
    found = replace(one(clean, moved(clean, 1.0)), shift_real=unmoved, shift_generated=unmoved)
    assert "may rely on traces of JPEG compression: by AUROC, images look more generated" in verdict([found])[0]


def test_both_directions_of_a_kind_are_told() -> None:
    clean = draw(images=200)
    found = delivery_biases(clean, {"resize-2": moved(clean, 2.0), "resize-0.5": moved(clean, -1.0)}, FEW)
    assert [line.partition(" after ")[2].split(".")[0] for line in verdict(found)] == ["resize-2", "resize-0"]


def test_identical_real_and_generated_images_have_half_and_mirrored_halves() -> None:
    logits = np.random.default_rng(0).normal(size=60)
    labels = np.repeat([0, 1], 60)
    base = draw(images=120).select(np.arange(120))
    base = replace(base, fused_labels=labels, group=np.array([f"photo{k % 60}" for k in range(120)]))
    clean = with_logits(base, np.tile(logits, 2))
    found = one(clean, with_logits(base, np.tile(logits**3 - 0.4, 2)))
    assert found.aurocs["neither"].value == found.aurocs["both"].value == 0.5
    assert found.aurocs["generated"].value == pytest.approx(1 - found.aurocs["real"].value, abs=1e-12)


def test_noise_in_the_scores_is_a_lack_of_robustness_alone() -> None:
    clean = draw(images=1200)
    noise = np.random.default_rng(1).normal(0, 4, 1200)
    centred = noise - np.where(clean.fused_labels == 1, *(noise[clean.fused_labels == k].mean() for k in (1, 0)))
    found = one(clean, with_logits(clean, clean.fused_logits + centred), "noise-9")
    assert found.robustness.high < 0
    assert not found.bias.significant
    lines = verdict([found])
    assert lines[0] == "No bias was found after noise-9: the interval of the bias contains 0."
    assert "most after noise-9" in lines[1]


def test_only_common_labelled_images_count_whatever_their_order() -> None:
    clean = draw(images=200)
    clean = replace(clean, fused_labels=np.where(np.arange(200) < 10, -1, clean.fused_labels))
    order = np.random.default_rng(2).permutation(200)[:180]
    found = one(clean, moved(clean, 1.0).select(order))
    kept = clean.fused_labels[np.sort(order)]
    assert (found.real, found.generated) == (int((kept == 0).sum()), int((kept == 1).sum()))
    assert found.shift_real.value == pytest.approx(1, abs=1e-6)
    with pytest.raises(DataError, match="no generated image was scored"):
        one(clean, clean.select(np.flatnonzero(clean.fused_labels == 0)))


def test_the_greatest_bias_is_first_and_speaks_for_its_kind() -> None:
    clean = draw(images=200)
    found = delivery_biases(clean, {"jpeg-95": moved(clean, 0.5), "jpeg-50": moved(clean, 2.0)}, FEW)
    assert [each.name for each in found] == ["jpeg-50", "jpeg-95"]
    assert len(verdict(found)) == 1
    page = markdown(found, "best.ckpt")
    assert page.startswith("# What best.ckpt relies on")
    assert len(tidy(found).splitlines()) == 1 + 2 * (len(CONDITIONS) + 4)


def test_a_bias_towards_real_counts_as_much_as_one_towards_generated() -> None:
    clean = draw(images=200)
    found = delivery_biases(clean, {"webp-80": moved(clean, 0.5), "jpeg-95": moved(clean, -2.0)}, FEW)
    assert [each.name for each in found] == ["jpeg-95", "webp-80"]


def test_a_chain_of_several_kinds_is_named_as_it_is() -> None:
    assert trace("blur-2+sharpen-1") == "sharpness"
    assert trace("side-768+jpeg-60") == "traces of side-768+jpeg-60"
    assert trace("jpeg-55..95") == "traces of JPEG compression"
    assert trace("mine") == "traces of mine"


def test_too_few_photographs_show_no_bias_and_that_is_said() -> None:
    few = draw(images=60, group=[f"p{i % 5}" for i in range(60)])
    (found,) = delivery_biases(few, {"jpeg-50": few.select(np.arange(60))}, Bootstrap(40))
    assert all(np.isnan(figure.low) for figure in (found.bias, found.shift_real, found.shift_generated))
    assert verdict([found]) == ["Too few photographs to tell a bias from chance after jpeg-50."]
