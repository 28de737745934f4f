"""People on the review page and on a page of their own."""

import csv
import re

import numpy as np
import pytest
from browser import CHROMIUM, barriers, opened, review_page
from people import CALLED, TRUTH, answered
from synthetic_predictions import draw

from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.people.answers import Journal, Shown, Sitting
from benchmarks.people.section import People
from benchmarks.predictions import write_predictions
from benchmarks.review import review

EVIL = '<img src=x onerror=document.body.dataset.evil=1>"\u202e' + "n" * 300


def sit(path, dump, person):
    """A person who calls the first 30 images of a dump, two thirds of them as they are."""
    shown = tuple(
        Shown(str(i), int(y), str(g))
        for i, y, g in zip(dump.fused_ids[:30], dump.fused_labels[:30], dump.generators[:30], strict=True)
    )
    with Journal(path, Sitting(person, 0, "end", shown)) as journal:
        for k, image in enumerate(shown):
            journal.answer(image.label if k % 3 else 1 - image.label, 1 + k / 10)
        return journal.answers


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("people")
    dump = draw(images=90)
    write_predictions(folder / "a.npz", dump)
    people = [sit(folder / f"{k}.jsonl", dump, name) for k, name in enumerate(("Bo", EVIL))]
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    files = [folder / "0.jsonl", folder / "1.jsonl"]
    made = review([folder / "a.npz"], folder / "out", lambda _: pixels, bootstrap=Bootstrap(resamples=20), people=files)
    return folder, made, people


def test_a_person_has_a_row_for_all_images_and_for_each_generator(reviewed):
    _, made, people = reviewed
    page = made.page.read_text()
    body = page[page.index('<table class="metrics">') : page.index("</table>", page.index('<table class="metrics">'))]
    assert body.count(">P1</i>") == body.count(">P2</i>") == 1 + 1 + 3  # all images, their mean, three generators
    assert f"<td>{people[0].right.mean():.3f}<small>" in body
    assert EVIL not in page
    rows = list(csv.DictReader((made.page.parent / "people_missed.csv").open()))
    assert {row["person"] for row in rows} == {"Bo", EVIL}
    wrong = {image.id for image, right in zip(people[0].shown, people[0].right, strict=True) if not right}
    assert {row["id"] for row in rows if row["person"] == "Bo" and row["missed_by"] != "dump"} == wrong


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_a_person_is_a_point_in_the_curves(reviewed):
    _, made, people = reviewed
    with review_page(made.page) as page:
        found = page.content()
    assert "data-evil" not in found
    called, labels = people[0].called, people[0].labels
    fpr, tpr = called[labels == 0].mean(), called[labels == 1].mean()
    precision = labels[called == 1].mean()
    titles = re.findall(r"<title>Bo: (.*?), on the images they judged", found)
    assert titles == [f"fpr {fpr:.3f}, tpr {tpr:.3f}", f"recall {tpr:.3f}, precision {precision:.3f}"]
    x, y = map(float, re.search(r'class="person" x="([\d.]+)" y="([\d.]+)"', found).groups())
    assert (x + 4.5, y + 4.5) == pytest.approx((38 + fpr * 294, 268 - tpr * 260))


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_a_page_of_people_alone_has_no_barrier(tmp_path):
    file = tmp_path / "index.html"
    file.write_text(People.of([answered(TRUTH, CALLED, EVIL)], {}).page())
    with opened(file.as_uri()) as page:
        assert barriers(page) == []


def test_a_page_of_people_alone_shows_the_notebooks_figures():
    page = People.of([answered(TRUTH, CALLED, "the author")], {}).page()
    for text in ("0.840<small>0.71–0.92", "0.955<small>", "0.750<small>", "First half 18 of 25 right", "8 missed"):
        assert text in page
    assert "nothing" not in page
    assert re.search(r"default-src 'none'", page)
    assert "<script" not in page


def test_a_sitting_without_answers_has_a_page():
    page = People.of([answered("01", "")], {}).page()
    assert ">0 of 2<" in page
