"""The server of a sitting: what a browser may receive, and when."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from people import sample_sitting
from PIL import Image

pytest.importorskip("starlette", reason="Starlette is not installed: pip install 'pixelproof[serve]'")
from starlette.testclient import TestClient

from benchmarks.people.answers import Journal, read_answers
from benchmarks.people.server import Guessing
from benchmarks.people.transfer import stored_png
from datamodules.loading.pixels import pixels_of

ADDRESS = "http://127.0.0.1:4711"


class Sat:
    """A sitting with its client."""

    def __init__(self, path, sitting, pixels=None):
        self.path, self.ends, self.results = path, [], []
        self.journal = Journal(path, sitting)
        rng = np.random.default_rng(0)
        self.images = pixels or [rng.integers(0, 256, (9, 7 + k, 3), dtype=np.uint8) for k in range(20)]
        guessing = Guessing(
            self.journal,
            self.images.__getitem__,
            lambda: self.results.append(1) or "<p>result",
            lambda: self.ends.append(1),
        )
        self.client = TestClient(guessing.app(), base_url=ADDRESS)

    def answer(self, position, called):
        return self.client.post("/answer", json={"position": position, "called": called, "seconds": 1.5})


@pytest.fixture
def sat(tmp_path):
    made = []

    def make(sitting, name="a.jsonl", **given):
        made.append(Sat(tmp_path / name, sitting, **given))
        return made[-1]

    yield make
    for each in made:
        each.journal.__exit__(None, None, None)


def test_a_sitting_from_the_first_image_to_the_result(sat):
    one = sat(sample_sitting(3))
    assert one.client.get("/state").json() == {"position": 0, "count": 3, "undo": False}
    for position, called in enumerate((1, 0, 1)):
        image = one.client.get(f"/image/{position}")
        shown = np.asarray(Image.open(io.BytesIO(image.content)))
        assert np.array_equal(shown, one.images[position])
        assert one.answer(position, called).json()["position"] == position + 1
        assert read_answers(one.path).called.tolist() == [1, 0, 1][: position + 1]
    assert one.client.post("/undo", json={}).json() == {"position": 2, "count": 3, "undo": True}
    assert one.client.get("/result").status_code == 409
    assert one.answer(2, 0).json() == {"position": 3, "count": 3, "undo": True}
    assert not one.ends
    assert one.client.get("/result").text == "<p>result"
    assert (one.ends, one.results) == ([1], [1])
    assert one.client.post("/undo", json={}).status_code == 409
    found = read_answers(one.path)
    assert (found.called.tolist(), found.finished) == ([1, 0, 0], True)


def test_only_the_image_to_answer_now_is_served_and_no_answer_counts_twice(sat):
    one = sat(sample_sitting(4))
    assert [one.client.get(f"/image/{k}").status_code for k in (1, 2, 4, 100)] == [404] * 4
    assert one.answer(0, 1).status_code == 200
    assert one.answer(0, 1).status_code == 409
    assert one.answer(2, 1).status_code == 409
    assert one.client.get("/image/0").status_code == 404
    assert len(read_answers(one.path)) == 1


def exchange(one, called):
    """All that a browser receives in a sitting up to the last answer, but for the date."""
    replies = [one.client.get(path) for path in ("/", "/guess.js", "/guess.css", "/state", "/nothing")]
    for position in range(len(called)):
        replies += [one.client.get(f"/image/{position + k}") for k in (0, 1)]
        replies += [one.answer(position, called[position]), one.client.post("/undo", json={})]
        replies.append(one.answer(position, called[position]))
    return [(r.status_code, sorted(r.headers.items()), r.content) for r in replies]


def test_nothing_that_a_browser_receives_depends_on_labels_ids_or_generators(sat):
    sitting, called = sample_sitting(8), [0, 1, 1, 0, 1, 0, 0, 1]
    secret = tuple(
        replace(
            image, id=f"/data/generated/{image.id}.png", label=1 - image.label, generator="" if image.label else "sdxl"
        )
        for image in sitting.images
    )
    first = exchange(sat(sitting), called)
    second = exchange(sat(replace(sitting, images=secret, seed=77), "b.jsonl"), called)
    assert first == second
    assert not any(b"alpha" in content or b"set/" in content for _, _, content in first)


def test_the_size_of_a_transfer_depends_on_width_and_height_alone():
    rng = np.random.default_rng(0)
    flat, noise = np.zeros((64, 48, 3), np.uint8), rng.integers(0, 256, (64, 48, 3), dtype=np.uint8)
    assert len(stored_png(flat)) == len(stored_png(noise)) > 64 * 48 * 3
    image = Image.fromarray(noise)
    exif = Image.Exif()
    exif[0x010E] = "made by a generator"
    file = io.BytesIO()
    image.save(file, "PNG", exif=exif)
    sent = stored_png(pixels_of(file.getvalue()))
    assert sent == stored_png(noise)
    assert not Image.open(io.BytesIO(sent)).info


def test_the_truth_is_told_after_an_answer_only_if_it_is_to_be_revealed_each_time(sat):
    one = sat(sample_sitting(3, reveal="each"))
    told = one.answer(0, 1).json()
    assert (told["truth"], told["generator"], told["undo"]) == (0, "", False)
    assert one.client.post("/undo", json={}).status_code == 409
    assert one.answer(1, 1).json()["generator"] == "alpha"
    assert len(read_answers(one.path)) == 2


@pytest.mark.parametrize(
    "given",
    [{"called": 2}, {"called": True}, {"called": "1"}, {"seconds": -1}, {"seconds": "x"}, {"seconds": None},
     {"position": "0"}, {"position": False}],
)  # fmt: skip
def test_what_is_no_answer_is_refused_and_not_written(sat, given):
    one = sat(sample_sitting(2))
    before = one.path.read_bytes()
    reply = one.client.post("/answer", json={"position": 0, "called": 1, "seconds": 1.5} | given)
    assert reply.status_code == 400
    assert one.path.read_bytes() == before


def test_bodies_that_a_page_of_another_site_could_send_or_that_are_long_are_refused(sat):
    one = sat(sample_sitting(2))
    answer = json.dumps({"position": 0, "called": 1, "seconds": 1})
    for kind, content in (
        ("text/plain", answer), ("application/x-www-form-urlencoded", answer),
        ("application/json", answer + " " * 2000),
        ("application/json", "[]"), ("application/json", "{"), ("application/json", b"\xff"),
        ("application/json", answer.replace("1}", "NaN}")), ("application/json", answer.replace("1}", "1e999}")),
    ):  # fmt: skip
        assert one.client.post("/answer", content=content, headers={"content-type": kind}).status_code == 400
    assert one.client.get("/state", headers={"host": "example.org"}).status_code == 400
    assert len(one.journal.answers) == 0


def test_a_name_is_text_on_the_page(sat):
    name = '</title><script>alert("x")</script>\u202e' + "n" * 300
    page = sat(sample_sitting(1, person=name)).client.get("/")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(&#34;x&#34;)" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
