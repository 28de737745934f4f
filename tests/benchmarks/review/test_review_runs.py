"""Runs side by side: flips, McNemar's test, votes, and a loop round scores, against counts made afresh."""

import re

import numpy as np
import pytest
from browser import CHROMIUM, barriers, review_page
from synthetic_predictions import draw

from benchmarks.attribution.measures import Attribution
from benchmarks.comparison.compare import paired_test
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import from_crops, write_predictions
from benchmarks.review import review

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder, first = tmp_path_factory.mktemp("runs"), draw(images=150)
    dumps = [first]
    for k, noise in enumerate((0.8, 2.0)):
        logits = first.fused_logits + np.random.default_rng(k).normal(0, noise, 150)
        dumps.append(
            from_crops(
                logits, np.arange(150), first.fused_labels, first.fused_generator_ids, first.fused_ids.tolist(),
                generator_id_to_name=first.generator_id_to_name.tolist(),
            ).select(np.arange(10 * k, 150))
        )  # fmt: skip
    paths = [folder / f"{k}.npz" for k in range(3)]
    for path, dump in zip(paths, dumps, strict=True):
        write_predictions(path, dump)
    pixels = np.zeros((8, 8, 3), np.uint8)
    review(paths, folder / "out", lambda _: pixels, bootstrap=Bootstrap(resamples=20))
    called = np.full((3, 150), np.nan)
    scores = np.full((3, 150), np.nan)
    for k, dump in enumerate(dumps):
        place = np.searchsorted(first.fused_ids, dump.fused_ids)
        scores[k, place] = dump.fused_scores
        called[k, place] = dump.fused_scores > (0.4, 0.5, 0.5)[k]
    return folder / "out/index.html", first.fused_labels, called, scores


def numbers(view, table) -> list[list[int]]:
    rows = view.locator(f"#{table} tbody tr")
    return [[int(text) for text in row.locator("button").all_inner_texts()] for row in rows.all()]


def counted(view) -> int:
    """Real and generated images that the bar counts for the second dump."""
    text = view.locator("#scope").inner_text()
    real, made = (part.split("|")[1] for part in text.removeprefix("counting ").split(","))
    return int(re.search(r"\d+", real)[0]) + int(re.search(r"\d+", made)[0])


def test_any_pair_has_its_table_its_test_and_flips_of_both_kinds(page):
    path, labels, called, _ = page
    with review_page(path) as view:
        view.locator("#pair-0").select_option("1")
        view.locator("#pair-1").select_option("2")
        held = ~np.isnan(called[1:]).any(0)
        one, two = (called[1:, held] == labels[held]).astype(bool)
        expected = [[int((a & b).sum()) for b in (two, ~two)] for a in (one, ~one)]
        assert numbers(view, "fourfold") == expected
        p = paired_test(one, two).p
        assert float(re.search(r"p = (\S+),", view.locator("#mcnemar").inner_text())[1]) == pytest.approx(p, rel=0.05)
        text = view.locator("#fliplist").inner_text()
        assert f"{(one != two).sum()} flips" in text
        assert f"B right, C wrong: {(one & ~two).sum()}" in text
        assert f"B wrong, C right: {(~one & two).sum()}" in text
        view.locator("#fourfold td.flip button").first.click()
        assert counted(view) == (one & ~two).sum()
        assert "k=pair%3A1%3A2%3A1%3A0" in view.evaluate("location.hash")
        assert numbers(view, "fourfold") == expected, "the table keeps what can be picked instead"
        view.locator("#unpick").click()
        assert counted(view) == (~np.isnan(called[1])).sum()


def test_votes_pick_their_images_and_follow_the_thresholds(page):
    path, labels, called, scores = page
    with review_page(path) as view:
        held = ~np.isnan(called).any(0)
        votes = called[:, held].sum(0)
        expected = [[int(((votes == n) & (labels[held] == kind)).sum()) for kind in (0, 1)] for n in (3, 2, 1, 0)]
        assert numbers(view, "votes") == expected
        view.locator("#votes tbody tr").first.locator("button").last.click()
        assert counted(view) == expected[0][1]
        view.locator("#number-2").fill("0.9")
        moved = called.copy()
        moved[2] = scores[2] > 0.9
        assert counted(view) == ((moved[:, held].sum(0) == 3) & (labels[held] == 1)).sum()


def test_a_loop_filters_by_the_scores_inside_it(page):
    path, _, _, scores = page
    with review_page(path) as view:
        corners = [(0.05, 0.05), (0.6, 0.05), (0.6, 0.7), (0.05, 0.7)]
        view.locator("#against").scroll_into_view_if_needed()
        box = view.locator("#against rect.frame").bounding_box()
        ends = [(box["x"] + u * box["width"], box["y"] + (1 - v) * box["height"]) for u, v in corners]
        view.mouse.move(*ends[0])
        view.mouse.down()
        for end in ends[1:]:
            view.mouse.move(*end, steps=4)
        view.mouse.up()
        text = view.evaluate("decodeURIComponent(location.hash)").split("k=loop:0:1:score:")[1].split("&")[0]
        drawn = np.array(text.split(","), float).reshape(-1, 2)
        low, high = drawn.min(0), drawn.max(0)
        assert np.allclose([*low, *high], [0.05, 0.05, 0.6, 0.7], atol=0.01)
        a, b = scores[:2]
        inside = (a > low[0]) & (a < high[0]) & (b > low[1]) & (b < high[1])
        assert counted(view) == inside.sum()
        assert barriers(view) == []
        address = view.evaluate("location.hash")
    with review_page(path, address) as view:
        assert counted(view) == inside.sum(), "the address holds the loop"


def test_a_tracers_cells_open_their_images(tmp_path):
    count, rng = np.arange(60), np.random.default_rng(3)
    logits = rng.normal(size=(60, 3)).astype(np.float32)
    labels = np.where(count % 10 == 9, -1, count % 2)
    dump = from_crops(
        logits[:, 1] - logits[:, 0], count, labels, np.where(labels == 1, 1 + count % 4 // 2, 0),
        [str(k) for k in count], generator_id_to_name=["", "var16", "rarb"],
        class_names=["outlier", "var16", "rarb"], fused_multi_logits=logits, crop_multi_logits=logits,
    )  # fmt: skip
    write_predictions(tmp_path / "t.npz", dump)
    pixels = np.zeros((8, 8, 3), np.uint8)
    review([tmp_path / "t.npz"], tmp_path / "out", lambda _: pixels, bootstrap=Bootstrap(resamples=20))
    answers = Attribution.of(dump)
    with review_page(tmp_path / "out/index.html") as view:
        buttons = view.locator(".attributed button")
        assert [int(n) for n in buttons.all_inner_texts()] == answers.confusion().ravel().tolist()
        buttons.nth(5).click()
        expected = answers.ids[(answers.truth == 1) & (answers.answer == 2)].tolist()
        assert view.locator("#cards .card .id").all_inner_texts() == expected
        assert view.locator("#unpick").inner_text() == "var16, called rarb ✕"
        assert barriers(view) == []
