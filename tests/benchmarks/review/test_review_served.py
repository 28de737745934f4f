"""The page on a server: whole images of its rows and nothing else, in a real browser and by the real command line."""

import io
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, opened
from PIL import Image
from synthetic_predictions import draw

pytest.importorskip("starlette", reason="Starlette is not installed: pip install 'pixelproof[serve]'")
from starlette.testclient import TestClient

from benchmarks.intervals.bootstrap import Bootstrap
from benchmarks.predictions import write_predictions
from benchmarks.review import review
from benchmarks.review.serving import Reviewing
from lightning_main import main

HOUSE = Path(__file__).parents[3]
SIZE = (900, 700)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of five images: a large PNG, a TIFF, text, a file that is gone, and one without a place."""
    folder = tmp_path_factory.mktemp("served")
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(folder / "0.png")
    Image.fromarray(pixels).save(folder / "1.tiff")
    (folder / "2.png").write_text("secret")
    where = [str(folder / name) for name in ("0.png", "1.tiff", "2.png", "3.png")] + [""]
    write_predictions(folder / "a.npz", draw(images=5, where=np.array(where), row=np.full(5, -1)))
    return folder, pixels, review([folder / "a.npz"], folder / "out", bootstrap=Bootstrap(20))


def test_only_images_of_the_page_are_served(made):
    folder, pixels, page = made
    client = TestClient(Reviewing(page.page, page.joined).app(), base_url="http://127.0.0.1:80")
    assert client.get("/").text.replace(' data-served="1"', "", 1) == page.page.read_text()
    original = client.get("/image/0")
    assert (original.content, original.headers["content-type"]) == ((folder / "0.png").read_bytes(), "image/png")
    assert original.headers["content-security-policy"] == "default-src 'none'"
    assert original.headers["x-content-type-options"] == "nosniff"
    converted = client.get("/image/1")
    assert converted.headers["content-type"] == "image/png"
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(converted.content))), pixels)
    for path in ("image/2", "image/3", "image/4", "image/5", "image/-1", "image/99999999999999999999", "image/0.png",
                 "image/%30%2f..%2f2", "image/../../a.npz", "image/..%2f..%2fa.npz", "a.npz", "predictions.csv",
                 "//etc/passwd", "..%2f..%2fetc/passwd", "image/", f"image/{folder}/2.png"):  # fmt: skip
        reply = client.get(f"/{path}")
        assert (path, reply.status_code) == (path, 404)
        assert "secret" not in reply.text
    for method in ("post", "put", "delete"):
        assert getattr(client, method)("/image/0").status_code == 405
    for host in ("example.org", "127.0.0.1.example.org", "[::1]", ""):
        assert client.get("/", headers={"Host": host}).status_code == 400
        assert client.get("/image/0", headers={"Host": host}).status_code == 400


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to look at the page with")
def test_the_command_serves_until_interrupted(made):
    folder, _, _ = made
    readable = np.array([str(folder / "0.png"), str(folder / "1.tiff")])
    write_predictions(folder / "b.npz", draw(images=2, where=readable, row=np.full(2, -1)))
    words = ["task=review", "review.inputs=[b.npz]", "review.out=b", "review.serve=true", "review.resamples=20"]
    command = [sys.executable, str(HOUSE / "lightning_main.py"), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        try:
            address = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+/", line)))
            with opened(f"{address}#o=all&i={draw(images=2).fused_ids[0]}") as page:
                image = page.locator("#viewer .stage img").first
                image.evaluate("e => e.decode()")
                assert image.evaluate("e => [e.naturalWidth, e.naturalHeight]") == list(SIZE)
                page.wait_for_selector("#viewer[data-measured] .measured canvas")
                residual = page.locator("#viewer .measured canvas").first
                assert residual.evaluate("e => [e.width, e.height]") == list(SIZE)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(600) == 128 + signal.SIGINT


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("review.inputs=[a.npz] review.port=70000", "review.port=70000"),
        ("review.people=[me.jsonl]", "review.serve=true needs dumps"),
    ],
)
def test_what_cannot_be_served_is_refused_first(word, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("me.jsonl").touch()
    write_predictions(Path("a.npz"), draw())
    assert main(["task=review", "review.serve=true", *word.split()]) == 2
    assert text in capsys.readouterr().err
