"""Two columns at once, in a real browser, against metrics measured afresh on the images of each cell."""

import numpy as np
import pytest
from browser import CHROMIUM, review_page
from synthetic_predictions import draw

from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import METRICS, auroc, counts
from benchmarks.predictions import write_predictions
from benchmarks.review import review

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
NONE = Bootstrap(resamples=20)
KINDS = np.resize(["PNG", "JPEG", "WEBP"], 120)
CELL = "#matrix-table tbody tr:has(th bdi:text-is('{}')) td:nth-of-type({}) button"
SHOWN = "document.getElementById('shown').textContent.split(' ')[0]"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("matrix")
    timeline = [["gamma-10", ""], ["alpha", "beta_2"]]
    dumps = [
        draw(decimals=1, windows_timeline=timeline, extra={"kind": KINDS}),
        draw(crops=3, windows_timeline=timeline, extra={"kind": KINDS}),
    ]
    for name, dump in zip("ab", dumps, strict=True):
        write_predictions(folder / f"{name}.npz", dump)
    pixels = np.zeros((8, 8, 3), np.uint8)
    review([folder / "a.npz"], folder / "one", lambda _: pixels, bootstrap=NONE)
    review([folder / "a.npz", folder / "b.npz"], folder / "two", lambda _: pixels, bootstrap=NONE)
    return folder, dumps


def cells(page) -> dict[str, list[str]]:
    """Texts of each row by its name."""
    rows = page.locator("#matrix-table tbody tr")
    texts = rows.evaluate_all("rows => rows.map((r) => [...r.cells].map((c) => c.textContent))")
    return {name: texts for name, *texts in texts}


def columns(page) -> list[str]:
    return page.locator("#matrix-table thead th bdi").all_text_contents()


def test_a_cell_has_the_figures_of_its_images_and_filters_to_them(page):
    folder, (dump, _) = page
    scores, labels = dump.fused_scores.astype(np.float64), dump.fused_labels
    with review_page(folder / "one/index.html") as shown:
        select = lambda end, text: shown.locator(f"#matrix-{end}").select_option(label=text)  # noqa: E731
        select("rows", "generator")
        select("columns", "kind")
        assert list(cells(shown)) == ["(real)", "gamma-10", "alpha", "beta_2"], "in the order of the windows"
        assert columns(shown) == ["JPEG", "PNG", "WEBP"]
        for metric in ("AUROC", "accuracy", "TPR", "FPR"):
            select("shows", metric)
            for name, texts in cells(shown).items():
                for kind, text in zip(columns(shown), texts, strict=True):
                    own = (dump.generators == ("" if name == "(real)" else name)) & (dump.extra["kind"] == kind)
                    whole = own | ((labels == 0) & (dump.extra["kind"] == kind))
                    tp, fn, fp, tn = counts(scores[whole], labels[whole], 0.4)
                    wanted = {
                        "AUROC": auroc(scores[whole], labels[whole]) if tp + fn else None,
                        "accuracy": (tp + tn) / whole.sum(),
                        "TPR": tp / (tp + fn) if tp + fn else None,
                        "FPR": fp / (fp + tn),
                    }[metric]
                    figure = "–" if wanted is None else f"{wanted:.3f}"
                    assert text == f"{figure} {own.sum()}", (name, kind, metric)
        select("rows", "kind")
        select("columns", "source")
        button = shown.locator(CELL.format("PNG", 2))
        button.click()
        own = (dump.extra["kind"] == "PNG") & (dump.source == "there")
        figures = [shown.locator(f"#{name}-0").inner_text() for name in ("tp", "fn", "fp", "tn")]
        assert figures == [str(n) for n in counts(scores[own], labels[own], 0.4)]
        assert button.get_attribute("aria-pressed") == "true"
        shown.locator("#order").select_option("all")
        assert shown.evaluate(SHOWN) == str(own.sum())
        address = shown.evaluate("location.hash")
    with review_page(folder / "one/index.html", address) as again:
        assert again.locator("#tp-0").inner_text() == figures[0]
        assert again.locator(CELL.format("PNG", 2)).get_attribute("aria-pressed") == "true"


def test_dumps_by_generator_over_time(page):
    folder, dumps = page
    with review_page(folder / "two/index.html") as shown:
        assert columns(shown) == ["(real)", "gamma-10", "alpha", "beta_2"]
        assert shown.locator("#matrix-table thead small").all_text_contents() == ["window 1", "window 2", "window 2"]
        for dump, texts in zip(dumps, cells(shown).values(), strict=True):
            for name, text in zip(columns(shown)[1:], texts[1:], strict=True):
                whole = (dump.generators == name) | (dump.fused_labels == 0)
                wanted = METRICS["auroc"](dump.fused_scores[whole].astype(float), dump.fused_labels[whole], 0.5)
                assert text == f"{wanted:.3f} {(dump.generators == name).sum()}"
        assert shown.locator("#matrix-table td.same").count() == 4, "two generators of each were in the training"
        shown.locator("#matrix-table tbody tr:nth-child(2) td button").nth(1).click()
        assert shown.locator("#by").input_value() == "1"
        gamma = dumps[1].generators == "gamma-10"
        whole = gamma | (dumps[1].fused_labels == 0)
        tp, _, fp, _ = counts(dumps[1].fused_scores[whole].astype(float), dumps[1].fused_labels[whole], 0.4)
        assert [shown.locator(f"#{name}-1").inner_text() for name in ("tp", "fp")] == [str(tp), str(fp)]
        shown.locator("#order").select_option("all")
        assert shown.evaluate(SHOWN) == str(gamma.sum())
