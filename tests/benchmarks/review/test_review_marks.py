"""Stars, tags and notes in a real browser, and the files that carry them."""

import csv
import json
import re
from html import unescape

import numpy as np
import pytest
from browser import CHROMIUM
from browser import reviewed as dom
from drawn_predictions import draw
from PIL import Image

from benchmarks.intervals import Bootstrap
from benchmarks.predictions import write_predictions
from benchmarks.review import review
from datamodules.folder import FolderDataModule

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")

EVIL = "<img src=x onerror=document.body.dataset.evil=1>"
NOTE = f'{EVIL}, "quoted"\nsecond line'
SCRIPT = """
const note = (name, text) => { document.body.dataset[name] = text; };
const texts = [];
URL.createObjectURL = (blob) => { texts.push(blob.text()); return "#"; };
HTMLAnchorElement.prototype.click = () => {};
const press = (key) => document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
const type = (id, text) => {
  const field = document.getElementById(id);
  field.value = text;
  field.dispatchEvent(new Event("input"));
};
const click = (id) => document.getElementById(id).click();
const choose = (id, value) => {
  const select = document.getElementById(id);
  select.value = value;
  select.dispatchEvent(new Event("change"));
};
const shown = () => document.getElementById("shown").textContent;
const says = () => document.getElementById("marks-status").textContent;
const upload = async (name, text) => {
  const moved = new DataTransfer(), input = document.getElementById("load");
  moved.items.add(new File([text], name));
  input.files = moved.files;
  const said = new Promise((done) => new MutationObserver(done).observe(
    document.getElementById("marks-status"), { childList: true }));
  input.dispatchEvent(new Event("change"));
  await said;
};
const clear = () => { noted.clear(); keepMarks(); };
(async () => {
  choose("order", "all");
  document.querySelector("#cards .card").focus();
  press("s"); press("ArrowRight"); press("Enter");
  type("tags", "odd hands, text,odd hands"); type("note", NOTE);
  document.getElementById("note").focus(); press("4"); press("s");
  note("starred", String(mark(1).star));
  viewer.close();
  for (const id of ["save-csv", "save-json"]) click(id);
  choose("marked", "any"); note("any", shown());
  choose("marked", "star"); note("star", shown());
  choose("marked", "");
  const [table, json] = await Promise.all(texts);
  note("csv", table); note("json", json); note("kept", localStorage.getItem(MARKS));
  noted.clear(); recallMarks(); note("recalled", String(noted.size));
  clear(); await upload("marks.csv", table); note("fromcsv", localStorage.getItem(MARKS));
  clear(); await upload("marks.json", json); note("fromjson", localStorage.getItem(MARKS));
  await upload("b.csv", "id,star,tags,note\\nelsewhere,1,,"); note("other", says());
  await upload("c.csv", "x,y\\n1,2"); note("bad", says());
  choose("label", "1"); click("save-chosen");
  note("chosen", await texts[2]); note("saved", says());
})();
"""


def test_marks_are_kept_and_travel_and_chosen_images_are_a_table_of_the_folder_data_module(tmp_path):
    paths = [tmp_path / f"image, {k}.png" for k in range(12)]
    for k, path in enumerate(paths):
        Image.fromarray(np.full((8, 8, 3), k * 20, np.uint8)).save(path)
    where = [str(path) for path in paths[:-1]] + [""]
    dump = draw(images=12, where=where, generators=("alpha", EVIL))
    write_predictions(tmp_path / "a.npz", dump)
    pixels = np.zeros((8, 8, 3), np.uint8)
    review([tmp_path / "a.npz"], tmp_path / "out", lambda _: pixels, bootstrap=Bootstrap(resamples=20))
    script = SCRIPT.replace("NOTE", json.dumps(NOTE)).replace("<", "\\u003c").replace("i \\u003c", "i <")
    text = dom(tmp_path / "out/index.html", script=script)
    found = {name: unescape(value) for name, value in re.findall(r' data-(\w+)="([^"]*)"', text)}
    records = [
        {"id": str(dump.fused_ids[0]), "star": True, "tags": [], "note": ""},
        {"id": str(dump.fused_ids[1]), "star": False, "tags": ["odd hands", "text"], "note": NOTE},
    ]
    assert found["starred"] == "false", "keys typed into a note are text"
    assert (found["any"], found["star"], found["recalled"]) == ("2 images", "1 image", "2")
    assert json.loads(found["json"])["marks"] == records
    for name in ("kept", "fromcsv", "fromjson"):
        assert json.loads(found[name]) == records, name
    rows = list(csv.DictReader(found["csv"].splitlines(keepends=True)))
    assert [(row["id"], row["star"], row["tags"], row["note"]) for row in rows] == [
        (dump.fused_ids[0], "1", "", ""), (dump.fused_ids[1], "0", "odd hands,text", NOTE),
    ]  # fmt: skip
    assert found["other"] == "0 marks loaded; 1 other of images that are not on this page"
    assert found["bad"] == "c.csv holds no marks: the first line must name id, star, tags and note"
    assert "evil" not in found
    chosen = (dump.fused_labels == 1) & (dump.where != "")
    left = int((dump.fused_labels == 1).sum() - chosen.sum())
    assert found["saved"] == f"{chosen.sum()} images saved" + (f"; {left} without a file of their own left out" * left)
    (tmp_path / "chosen.csv").write_text(found["chosen"], newline="")
    manifest = FolderDataModule(tmp_path / "chosen.csv").build_manifest()
    assert manifest.column("id").tolist() == dump.fused_ids[chosen].tolist()
    assert (manifest.labels == 1).all()
    assert manifest.column("generator").tolist() == dump.generators[chosen].tolist()
    assert manifest.column("source").tolist() == dump.source[chosen].tolist()
