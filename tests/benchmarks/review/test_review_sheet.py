"""One image's sheet: what Python says of the file, and what the browser measures on the pixels."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from browser import CHROMIUM, barriers, review_page
from PIL import Image, PngImagePlugin
from synthetic_predictions import draw

from benchmarks.exploring.spectrum import FLOOR, log_power
from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import write_predictions
from benchmarks.review import review
from benchmarks.review.deliveries import collect_deliveries
from benchmarks.review.join import join
from benchmarks.review.original import LONGEST, block_grid, described

EVIL = "<img src=x onerror=document.body.dataset.evil=1>"
RNG = np.random.default_rng(5)
SMOOTH = np.clip(
    np.cumsum(np.cumsum(RNG.normal(size=(96, 88, 3)), 0), 1) * 3 + 120 + RNG.normal(size=(96, 88, 3)) * 4, 0, 255
).astype(np.uint8)


def encoded(pixels, kind="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def decoded(content) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_a_file_is_described_by_its_own_bytes():
    exif = Image.Exif()
    exif[0x010F] = EVIL
    content = encoded(SMOOTH, "JPEG", quality=80, exif=exif, comment=b"x" * (LONGEST + 1))
    facts = described(content)
    assert {"JPEG quality": "80 (IJG q80)", "chroma": "4:2:0", "coding": "sequential"}.items() <= dict(
        facts["file"]
    ).items()
    metadata = dict(facts["metadata"])
    assert metadata["Exif Make"] == EVIL
    assert metadata["comment"].endswith(f"({LONGEST + 1:,} characters)")
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a cat\nSteps: 20")
    assert ("parameters", "a cat\nSteps: 20") in described(encoded(SMOOTH, pnginfo=text))["metadata"]


def test_the_grid_of_an_earlier_jpeg_is_found_where_a_crop_left_it():
    rough = np.clip(SMOOTH.astype(int) + RNG.integers(-9, 9, SMOOTH.shape), 0, 255).astype(np.uint8)
    again = decoded(encoded(rough, "JPEG", quality=40))[3:, 2:]
    grid = np.reshape(described(encoded(again))["grid"], (8, 8))
    # blocks begin at 8 - 2 and 8 - 3: the last position before them is greatest
    assert (grid.mean(0).argmax(), grid.mean(1).argmax()) == (5, 4)
    assert grid.mean() == pytest.approx(1, abs=1e-3)
    assert block_grid(np.zeros((64, 64))) is None
    assert block_grid(np.ones((16, 40))) is None


def test_damaged_files_say_so_and_stop_nothing():
    facts = described(encoded(SMOOTH, "JPEG")[:-900])
    assert facts["file"][0][0] == "damaged"
    assert facts["grid"] is None


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheet")
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", EVIL)
    files = [
        encoded(SMOOTH, pnginfo=text), encoded(SMOOTH, "JPEG", quality=75),
        encoded(np.tile(SMOOTH, (8, 8, 1))[:701, :651]),
    ]  # fmt: skip
    for k, content in enumerate(files):
        (folder / f"{k}").write_bytes(content)
    dump = draw(images=12, where=[str(folder / f"{k % 3}") for k in range(12)])
    write_predictions(folder / "a.npz", dump)
    (folder / "deliveries").mkdir()
    for name, shift in (("jpeg-90", 0.5), ("jpeg-100", -0.25)):
        moved = replace(dump, fused_scores=np.clip(dump.fused_scores + np.float32(shift), 0, 1).astype(np.float32))
        about = json.dumps(dump.about | {"delivery": name})
        kept = replace(moved, provenance=about).select(np.arange(11))
        write_predictions(folder / f"deliveries/predictions_{name}_all.npz", kept)
    other = json.dumps(dump.about | {"delivery": "blur-1", "checkpoint_sha256": "another"})
    write_predictions(folder / "deliveries/predictions_blur-1_all.npz", replace(dump, provenance=other))
    made = review([folder / "a.npz"], folder / "out", bootstrap=Bootstrap(resamples=20))
    return made.page, dump, files


def test_deliveries_of_the_same_checkpoint_are_looked_up(page):
    path, dump, _ = page
    (found,) = collect_deliveries(join([path.parents[1] / "a.npz"]), [0, 11])
    assert (found["names"], found["left"]) == (["jpeg-100", "jpeg-90"], 1)
    assert np.float32(found["images"]["0"][1][0]) == np.clip(dump.fused_scores[0] + np.float32(0.5), 0, 1)
    assert "11" not in found["images"], "no delivery has a score of it"


PIXELS = """(name) => {
  const panes = [...document.querySelectorAll("#viewer .pane")];
  const canvas = panes.find((pane) => pane.ariaLabel === name).firstChild;
  const { width, height } = canvas;
  return [width, height, Array.from(canvas.getContext("2d").getImageData(0, 0, width, height).data)];
}"""


def shown(view, name) -> np.ndarray:
    width, height, data = view.evaluate(PIXELS, name)
    return np.array(data).reshape(height, width, 4)[..., :3]


def opened(view, dump, k) -> None:
    view.wait_for_selector(f'#viewer[data-measured="{dump.fused_ids[k]}"]')


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_the_browser_measures_what_python_does(page):
    path, dump, _ = page
    address = str(dump.fused_ids[0]).replace("#", "%23")
    with review_page(path, f"#i={address}&z=4") as view:
        opened(view, dump, 0)
        blocks = SMOOTH.astype(int)
        residual = blocks - np.repeat(np.repeat(blocks[::2, ::2], 2, 0), 2, 1)
        assert np.array_equal(shown(view, "NPR residual"), np.clip(128 + 4 * residual, 0, 255))
        power = log_power(SMOOTH, 64)
        low, high = np.log10(FLOOR), power.max()
        expected = 255 * (power - low) / (high - low)
        assert np.abs(shown(view, "log-spectrum")[..., 0] - expected).max() <= 0.51
        assert view.locator("#viewer .stage img").first.evaluate("e => e.style.width") == f"{88 * 4}px"
        assert "original file, byte for byte" in view.locator("#viewer .stage").inner_text()
        assert EVIL in view.locator("#viewer .file").inner_text()
        assert view.evaluate("document.body.dataset.evil") is None
        lines = view.locator("#viewer .redelivered tbody tr").all_inner_texts()
        assert [line.split()[0] for line in lines] == ["as", "jpeg-90", "jpeg-100"]
        score = float(np.clip(dump.fused_scores[0] + np.float32(0.5), 0, 1))
        assert float(lines[1].split()[1]) == pytest.approx(score, rel=5e-3)
        assert (
            "1 delivery beside the dump left out: another checkpoint"
            in view.locator("#viewer .redelivered").inner_text()
        )
        nearest = view.locator("#viewer .near button").first.get_attribute("title")
        far = np.abs(dump.fused_logits - dump.fused_logits[0])
        assert nearest == dump.fused_ids[np.argsort(far, kind="stable")[1]]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_the_centre_of_a_large_image_keeps_the_phase_of_its_blocks(page):
    path, dump, files = page
    address = str(dump.fused_ids[2]).replace("#", "%23")
    with review_page(path, f"#i={address}") as view:
        opened(view, dump, 2)
        whole = decoded(files[2]).astype(int)
        left, top = (651 - 320) // 2, (701 - 320) // 2
        corners = np.repeat(np.repeat(whole[:700:2, :650:2], 2, 0), 2, 1)
        residual = (whole[:700, :650] - corners)[top + top % 2 : top + 320, left + left % 2 : left + 320]
        found = shown(view, "NPR residual")
        assert np.array_equal(found, np.clip(128 + 4 * residual, 0, 255)[: found.shape[0], : found.shape[1]])
        assert "the central part of 651 × 701 pixels" in view.locator("#viewer .stage").inner_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_keys_address_print_and_access(page):
    path, *_ = page
    with review_page(path) as view:
        view.locator("#cards .card").first.focus()
        for key in ("Enter", "6", "n", "g"):
            view.keyboard.press(key)
        assert view.evaluate("location.hash").endswith("&z=16&p=fem")
        names = view.locator("#viewer .pane").evaluate_all("all => all.map((pane) => pane.ariaLabel)")
        assert not {"NPR residual", "JPEG grid"} & set(names)
        view.keyboard.press("-")
        assert view.locator("#viewer .buttons button[aria-pressed=true]").first.inner_text() == "8×"
        assert barriers(view) == []
        # one page, by Chromium's own count
        assert view.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") == 1
