"""The page in a real browser; skipped where Chromium is not installed."""

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from browser import CHROMIUM, barriers, review_page
from browser import reviewed as dom
from synthetic_predictions import draw

from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.metrics import METRICS, counts
from benchmarks.people.answers import Journal, Shown, Sitting
from benchmarks.predictions import from_crops, write_predictions
from benchmarks.review import review

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")

EVIL = "<img src=x onerror=document.body.dataset.evil=1>"
KINDS = np.resize(["PNG", EVIL, "JPEG"], 90)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    made = {
        "a": draw(images=90, decimals=1, generators=("alpha", EVIL), extra={"kind": KINDS}),
        "b": draw(images=90, crops=5, generators=("alpha", EVIL)),
    }
    for name, predictions in made.items():
        write_predictions(folder / f"{name}.npz", predictions)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    review([folder / "a.npz", folder / "b.npz"], folder / "out", lambda _: pixels, bootstrap=Bootstrap(resamples=20))
    return folder / "out" / "index.html", made["a"], made["b"]


def cell(text, name) -> str:
    return re.search(rf'id="{name}"[^>]*>([^<]*)<', text)[1]


def test_counts_follow_the_threshold_exactly(page):
    path, *dumps = page
    # a score that several images share: one at the threshold is called real
    thresholds = (float(np.sort(dumps[0].fused_scores)[40]), 0.622459352016449)
    text = dom(path, f"#t={thresholds[0]!r},{thresholds[1]!r}")
    for d, (p, threshold) in enumerate(zip(dumps, thresholds, strict=True)):
        scores = p.fused_scores.astype(np.float64)
        tp, fn, fp, tn = counts(scores, p.fused_labels, threshold)
        shown = [cell(text, f"{name}-{d}") for name in ("tp", "fn", "fp", "tn", "tpr", "fpr")]
        assert shown == [str(tp), str(fn), str(fp), str(tn), f"{tp / (tp + fn):.3f}", f"{fp / (fp + tn):.3f}"]
        for name, title in (("auroc", "AUROC"), ("average_precision", "AP"), ("ece", "ECE")):
            assert f"{'AB'[d]}</i> {title} {METRICS[name](scores, p.fused_labels, 0.5):.4f}" in text
    a, b = (p.fused_scores > t for p, t in zip(dumps, thresholds, strict=True))
    assert f"{(a != b).sum()} flips" in text
    assert "data-evil" not in text, "a generator's name became markup"


def test_slider_marks_and_keyboard(page):
    path, p, _ = page
    called = p.fused_scores.astype(np.float64) > 0.7
    with review_page(path) as shown:
        mark, slider = shown.locator("#roc-mark-0"), shown.locator("#slider-0")
        slider.fill("710")
        before = mark.get_attribute("cx")
        shown.locator("#half-0").click()
        assert mark.get_attribute("cx") != before
        slider.fill("700")
        assert shown.locator("#tp-0").inner_text() == str((called & (p.fused_labels == 1)).sum())
        assert shown.locator("#fp-0").inner_text() == str((called & (p.fused_labels == 0)).sum())
        wrong = np.flatnonzero(called != p.fused_labels)
        far = np.abs(p.fused_logits[wrong].astype(np.float64) - np.log(0.7 / 0.3))
        second = p.fused_ids[wrong[np.lexsort((wrong, -far))[1]]]
        shown.wait_for_url(re.compile(r"#t=0\.7,"))  # the gallery follows when the slider rests
        shown.locator("#cards .card").first.focus()
        for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "Enter", "4"):
            shown.keyboard.press(key)
        opened = shown.locator("#viewer[open] dd .id").inner_text()
        assert opened == second, "confidently wrong first; arrows move, Enter opens"
        image = shown.locator("#viewer .stage img").first
        assert image.evaluate("e => [e.width, getComputedStyle(e).imageRendering]") == [64, "pixelated"]
        shown.keyboard.press("Escape")
        whole = "e => e.every((i) => i.width === i.naturalWidth && Number.isInteger(parseFloat(i.style.left)))"
        images = shown.locator("#cards img")
        assert images.count() > 0
        assert images.evaluate_all(whole), "pixels are shown 1:1, at whole positions"


SLICE = """
const cell = (k) => document.getElementById(k).textContent;
const counts = () => ["tp-0", "fn-0", "fp-0", "tn-0"].map(cell).join();
const shown = () => document.getElementById("shown").textContent.split(" ")[0];
const select = document.getElementById("by-column");
const pick = (name) => {
  select.value = [...select.options].findIndex((o) => o.text === name);
  select.dispatchEvent(new Event("change"));
};
const value = (name) => {
  const shown = [...document.querySelectorAll("table.slice:not([hidden]) button")];
  shown.find((b) => b.textContent === name).click();
};
const note = (name, text) => { document.body.dataset[name] = text; };
pick("kind A");
value(EVIL);
note("kind", counts());
note("address", decodeURIComponent(location.hash));
note("chip", document.getElementById("unslice").textContent);
note("pressed", String(document.querySelectorAll("[aria-pressed=true]").length));
for (const name of ["tp", "fn", "fp", "tn"]) {
  document.getElementById(name + "-0").click();
  note("cell" + name, shown() + "/" + document.activeElement.className);
}
document.getElementById("unslice").click();
note("all", counts());
pick("generator");
value("alpha");
note("alpha", counts());
document.getElementById("reset").click();
note("reset", counts() + String(document.getElementById("unslice").hidden));
"""


def test_a_slice_filters_everything_and_cells_open_their_images(page):
    path, p, _ = page
    text = dom(path, script=SLICE.replace("EVIL", repr(EVIL)))

    def shown(chosen) -> str:
        return ",".join(map(str, counts(p.fused_scores[chosen].astype(np.float64), p.fused_labels[chosen], 0.4)))

    kind, whole = p.extra["kind"] == EVIL, np.full(90, True)
    assert f'data-kind="{shown(kind)}"' in text
    assert 'data-pressed="1"' in text
    for name, number in zip(("tp", "fn", "fp", "tn"), shown(kind).split(","), strict=True):
        assert re.search(rf'data-cell{name}="{number}/card ', text), name
    assert f'data-all="{shown(whole)}"' in text
    assert f'data-alpha="{shown((p.generators == "alpha") | (p.fused_labels == 0))}"' in text
    assert f'data-reset="{shown(whole)}true"' in text
    chip, address = (re.search(rf'data-{name}="([^"]*)"', text)[1] for name in ("chip", "address"))
    assert unescape(chip) == f"kind A: {EVIL} ✕"
    assert unescape(address).endswith(f"&c=kind A&v={EVIL}")
    assert 'data-evil="1"' not in text


def test_an_address_holds_a_slice(page):
    path, p, _ = page
    text = dom(path, address="#t=0.5,0.5&c=kind%20A&v=PNG")
    chosen = p.extra["kind"] == "PNG"
    tp, fn, fp, tn = counts(p.fused_scores[chosen].astype(np.float64), p.fused_labels[chosen], 0.5)
    assert [cell(text, f"{name}-0") for name in ("tp", "fn", "fp", "tn")] == [str(n) for n in (tp, fn, fp, tn)]


SEEN = """
const box = (element) => element.getBoundingClientRect();
const shown = [...document.querySelectorAll("#confusion button, #confusion td, #filters button, .metrics :is(td, th)")];
document.body.dataset.cut = String(shown.filter((e) => box(e).right > window.innerWidth).length);
const buttons = ["half-0", "chosen-0"].map((id) => document.getElementById(id));
document.body.dataset.buttons = String(buttons.every((button) => box(button).width > 0));
document.body.dataset.bins = String(document.querySelectorAll("#histograms tbody tr:first-child rect").length);
"""


def test_scores_close_together_fill_the_axes_and_nothing_is_cut_off_in_a_narrow_window(tmp_path):
    count = np.arange(120)
    logits = np.random.default_rng(0).normal(-0.14 + 0.01 * (count % 2), 0.012)
    dump = from_crops(
        logits, count, count % 2, count % 2, [f"{k}" for k in count], generator_id_to_name=["", "a long name of one"]
    )
    write_predictions(tmp_path / "close.npz", dump)
    pixels = np.zeros((8, 8, 3), np.uint8)
    review([tmp_path / "close.npz"], tmp_path / "out", lambda _: pixels, bootstrap=Bootstrap(resamples=20))
    text = dom(tmp_path / "out/index.html", script=SEEN, width=900)
    assert int(re.search(r'data-bins="(\d+)"', text)[1]) > 10
    ticks = [float(t) for t in re.findall(r'text-anchor="middle">(0\.\d+)</text>', text.split('id="reliability"')[1])]
    assert 0.4 < min(ticks) < max(ticks) < 0.5
    assert 'data-cut="0"' in text
    assert 'data-buttons="true"' in text


NAMES = (
    EVIL,
    "<script>document.body.dataset.evil=1</script>",
    "a \"quoted\" 'name'",
    "\u202eabc \u05d7\u05d9",
    "x" * 300,
)


@pytest.fixture(scope="module")
def people_of_odd_names(tmp_path_factory):
    """A page whose every name is one of `NAMES`: generators, sources, values, ids, dumps and a person."""
    folder = tmp_path_factory.mktemp("names")
    dump = draw(
        images=90, generators=NAMES, source=np.resize(NAMES, 90), extra={"kind": np.resize(NAMES, 90), NAMES[1]: KINDS},
        group=np.resize([*NAMES, ""], 90), provenance={"experiment": NAMES[1], "stage": EVIL, "threshold": 0.4},
    )  # fmt: skip
    ids = np.array([f"{NAMES[k % 5]}{k}" for k in range(90)])
    for name in "ab":
        write_predictions(folder / f"{name}.npz", replace(dump, fused_ids=ids))
    sitting = Sitting(
        NAMES[1],
        0,
        "end",
        tuple(Shown(str(i), int(y), "g") for i, y in zip(ids[:6], dump.fused_labels[:6], strict=True)),
    )
    with Journal(folder / "p.jsonl", sitting) as journal:
        for _ in range(6):
            journal.answer(1, 2.0)
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    files = [folder / "a.npz", folder / "b.npz"]
    review(files, folder / "out", lambda _: pixels, bootstrap=Bootstrap(20), people=[folder / "p.jsonl"])
    return folder / "out/index.html", ids


def test_odd_names_are_text_everywhere(people_of_odd_names):
    path, ids = people_of_odd_names
    with review_page(path) as page:
        page.locator("#order").select_option("all")
        shown = page.locator("#cards .card .id").all_text_contents()
        assert shown == ids[:60].tolist()
        for name in NAMES:
            page.locator("#generator").select_option(label=name)
            assert name in page.locator("#cards .truth").first.text_content()
            assert name in page.locator("#histograms button.on").text_content()
        page.locator("#reset").click()
        page.locator("#by-column").select_option(label="kind A")
        assert sorted(page.locator("table.slice:not([hidden]) bdi").all_text_contents()) == sorted(NAMES)
        for k in range(5):
            page.locator("#cards .card").nth(k).click()
            dialog = page.locator("#viewer")
            assert dialog.locator("dd .id").text_content() in ids
            assert set(NAMES) & set(dialog.locator("dd").all_text_contents())
            page.keyboard.press("Escape")
        assert page.locator("[data-evil]").count() == 0


def test_no_barrier_in_light_and_dark_on_a_phone_and_on_a_desk(people_of_odd_names):
    path, _ = people_of_odd_names
    with review_page(path) as page:
        assert barriers(page) == []
        page.locator("#cards .card").first.click()
        assert barriers(page) == []


def test_every_control_can_be_reached_and_named_without_a_mouse(page):
    with review_page(page[0]) as shown:
        reached = []
        for _ in range(12):
            shown.keyboard.press("Tab")
            reached.append(shown.evaluate("() => document.activeElement.id || document.activeElement.tagName"))
        assert reached.index("slider-0") < reached.index("number-0") < reached.index("half-0")
        outline = "() => getComputedStyle(document.activeElement).outlineStyle"
        assert shown.evaluate(outline) == "solid"


INJECT = """() => {
    const script = document.createElement("script");
    script.textContent = "document.body.dataset.evil = 1";
    document.body.insertAdjacentHTML("beforeend", '<p style="position: fixed" id="styled"></p>');
    document.body.append(script);
}"""


def test_an_injected_script_or_style_does_nothing(page):
    def inject() -> None:
        with review_page(page[0]) as shown:
            shown.evaluate(INJECT)
            found.append(shown.locator("#styled").evaluate("e => getComputedStyle(e).position"))
            found.append(shown.locator("[data-evil]").count())

    found: list = []
    with pytest.raises(AssertionError, match="Content Security Policy"):
        inject()
    assert found == ["static", 0]
