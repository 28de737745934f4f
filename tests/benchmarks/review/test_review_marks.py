"""Stars, tags and notes in a real browser, and the files that carry them."""

import csv
import json

import numpy as np
import pytest
from browser import CHROMIUM, review_page
from PIL import Image
from synthetic_predictions import draw

from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import write_predictions
from benchmarks.review import review
from datamodules.folder import FolderDataModule

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")

EVIL = "<img src=x onerror=document.body.dataset.evil=1>"
NOTE = f'{EVIL}, "quoted"\nsecond line'


def test_marks_are_kept_and_travel_and_chosen_images_are_a_table_of_the_folder_data_module(tmp_path):
    paths = [tmp_path / f"image, {k}.png" for k in range(12)]
    for k, path in enumerate(paths):
        Image.fromarray(np.full((8, 8, 3), k * 20, np.uint8)).save(path)
    where = [str(path) for path in paths[:-1]] + [""]
    dump = draw(images=12, where=where, generators=("alpha", EVIL))
    write_predictions(tmp_path / "a.npz", dump)
    pixels = np.zeros((8, 8, 3), np.uint8)
    review([tmp_path / "a.npz"], tmp_path / "out", lambda _: pixels, bootstrap=Bootstrap(resamples=20))
    records = [
        {"id": str(dump.fused_ids[0]), "star": True, "tags": [], "note": ""},
        {"id": str(dump.fused_ids[1]), "star": False, "tags": ["odd hands", "text"], "note": NOTE},
    ]
    with review_page(tmp_path / "out/index.html") as page:
        key, kept = page.keyboard.press, lambda: json.loads(page.evaluate("() => Object.values(localStorage)[0]"))
        says, shown = page.locator("#marks-status"), page.locator("#shown")

        def saved(button: str) -> str:
            with page.expect_download() as download:
                page.locator(button).click()
            return download.value.path().read_bytes().decode()

        def loaded(name: str, text: str) -> None:
            page.locator("#load").set_input_files({"name": name, "mimeType": "text/plain", "buffer": text.encode()})

        page.locator("#order").select_option("all")
        page.locator("#cards .card").first.focus()
        for each in ("s", "ArrowRight", "Enter"):
            key(each)
        page.locator("#tags").fill("odd hands, text,odd hands")
        page.locator("#note").fill(NOTE)
        key("4")
        key("s")
        assert page.locator("#note").input_value() == NOTE + "4s", "keys typed into a note are text"
        assert page.locator("#star").inner_text() == "☆ star"
        page.locator("#note").fill(NOTE)
        key("Escape")
        table, notes = saved("#save-csv"), saved("#save-json")
        for value, text in (("any", "2 images"), ("star", "1 image")):
            page.locator("#marked").select_option(value)
            assert shown.inner_text() == text
        page.locator("#marked").select_option("")
        assert json.loads(notes)["marks"] == records
        assert kept() == records
        page.reload()
        assert says.inner_text() == "2 images marked"
        for name, text in (("marks.csv", table), ("marks.json", notes)):
            page.evaluate("localStorage.clear()")
            page.reload()
            loaded(name, text)
            says.get_by_text("2 marks loaded").wait_for()
            assert kept() == records, name
        loaded("b.csv", "id,star,tags,note\nelsewhere,1,,")
        says.get_by_text("0 marks loaded; 1 other of images that are not on this page", exact=True).wait_for()
        loaded("c.csv", "x,y\n1,2")
        says.get_by_text(
            "c.csv holds no marks: the first line must name id, star, tags and note", exact=True
        ).wait_for()
        page.locator("#label").select_option("1")
        rows_of_chosen, said = saved("#save-chosen"), says.inner_text()
        assert page.locator("[data-evil]").count() == 0
    rows = list(csv.DictReader(table.splitlines(keepends=True)))
    assert [(row["id"], row["star"], row["tags"], row["note"]) for row in rows] == [
        (dump.fused_ids[0], "1", "", ""), (dump.fused_ids[1], "0", "odd hands,text", NOTE),
    ]  # fmt: skip
    chosen = (dump.fused_labels == 1) & (dump.where != "")
    left = int((dump.fused_labels == 1).sum() - chosen.sum())
    assert said == f"{chosen.sum()} images saved" + (f"; {left} without a file of their own left out" * left)
    (tmp_path / "chosen.csv").write_text(rows_of_chosen, newline="")
    manifest = FolderDataModule(tmp_path / "chosen.csv").build_manifest()
    assert manifest.column("id").tolist() == dump.fused_ids[chosen].tolist()
    assert (manifest.labels == 1).all()
    assert manifest.column("generator").tolist() == dump.generators[chosen].tolist()
    assert manifest.column("source").tolist() == dump.source[chosen].tolist()
