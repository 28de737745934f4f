"""``task=serve`` over real connections: answers, refusals, load with hostile files, and a browser."""

import base64
import contextlib
import io
import json
import queue
import resource
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, opened
from PIL import Image

pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'pixelproof[serve]'")
import httpx2

import tasks.serve
from lightning_main import main
from pixelproof import load
from tasks.serving import server

BEST = "experiments_data/e/window_0/checkpoints/best.ckpt"
WORDS = ["task=serve", f"ckpt={BEST}", "trainer=cpu", "serve.deliveries=[jpeg-50]", "serve.seconds=600"]
Start = Callable[..., contextlib.AbstractContextManager[str]]


@pytest.fixture
def start(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts ``task=serve`` in a thread and ends it."""
    opened: queue.Queue[tuple[str, Callable[[], None]]] = queue.Queue()
    codes: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(tasks.serve, "_announce", lambda *given: opened.put(given))
    assert trained.is_dir()

    @contextlib.contextmanager
    def begin(*words: str) -> Iterator[str]:
        threading.Thread(target=lambda: codes.put(main([*WORDS, *words])), daemon=True).start()
        address, end = opened.get(timeout=600)
        try:
            yield address
        finally:
            end()
        assert codes.get(timeout=600) == 0

    return begin


def png(seed: int = 0, side: int = 32) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG that announces a huge size."""
    data = bytearray(png())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def test_an_answer_is_that_of_load(start: Start) -> None:
    image = png()
    wanted = load(BEST, device="cpu").score([image])["score"][0]
    with start() as address, httpx2.Client(base_url=address, timeout=600) as client:
        answer = client.post("/score", content=image).json()
        assert answer["votes"] == {"best": pytest.approx(wanted, abs=1e-6)}
        assert answer["deliveries"] == {}
        assert answer["metadata"]["format"] == "PNG"
        assert answer["metadata"]["width"] == 32
        again = client.post("/score?deliveries=1&maps=1", content=image).json()
        assert set(again["deliveries"]) == {"jpeg-50"}
        assert again["score"] == pytest.approx(wanted, abs=1e-6)
        found = client.get("/models").json()
        assert found["models"]["best"]["detector"] == "Classifier"
        assert found["deliveries"] == ["jpeg-50"]
        document = client.get("/openapi.json").json()
        assert document["openapi"].startswith("3.")
        reply = document["paths"]["/score"]["post"]["responses"]["200"]["content"]["application/json"]
        assert set(answer) <= set(reply["schema"]["properties"])
    assert not Path("experiments_data/1").exists()


@pytest.mark.parametrize(
    ("content", "status", "text"),
    [
        (b"", 422, "empty file"),
        (b"<html>", 422, "no image of a known format"),
        (png()[:90], 422, "PNG"),
        (bomb(), 422, "refused"),
        (b"../../etc/passwd", 422, "no image of a known format"),
        (b"experiments_data", 422, "no image of a known format"),
        (b"x" * 20_001, 413, "more than 20,000 bytes"),
    ],
    ids=range(7),
)
def test_what_is_no_image_is_refused_with_the_reason(content: bytes, status: int, text: str, start: Start) -> None:
    with start("serve.max_bytes=20000") as address, httpx2.Client(base_url=address, timeout=600) as client:
        reply = client.post("/score", content=content)
        assert (reply.status_code, text in reply.json()["error"]) == (status, True)
        chunked = client.post("/score", content=iter([content]))  # without a length
        assert chunked.status_code == status
        assert client.post("/score", content=png()).status_code == 200


def test_other_hosts_and_sites_are_refused(start: Start) -> None:
    with start() as address, httpx2.Client(base_url=address, timeout=600) as client:
        assert client.get("/", headers={"Host": "example.org"}).status_code == 400
        assert client.post("/score", content=png(), headers={"Origin": "http://example.org"}).status_code == 403
        assert client.post("/score", content=png(), headers={"Origin": address.rstrip("/")}).status_code == 200
        page = client.get("/")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert client.get("/serve.py").status_code == 404
        assert client.get("/../../etc/passwd").status_code == 404


def test_a_token_is_asked_for(start: Start) -> None:
    token = "0123456789abcdef"  # noqa: S105
    with start(f"serve.token={token}") as address, httpx2.Client(base_url=address, timeout=600) as client:
        assert client.post("/score", content=png()).status_code == 401
        assert client.get("/models", headers={"Authorization": "Bearer 0123"}).status_code == 401
        assert client.post("/score", content=png(), headers={"Authorization": f"Bearer {token}"}).status_code == 200
        assert client.get("/openapi.json").json()["security"] == [{"token": []}]


def test_images_are_kept_only_if_asked(start: Start) -> None:
    before = sorted(Path().rglob("*"))
    with start() as address, httpx2.Client(base_url=address, timeout=600) as client:
        client.post("/score", content=png())
    assert sorted(Path().rglob("*")) == before
    with start("serve.keep=kept") as address, httpx2.Client(base_url=address, timeout=600) as client:
        score = client.post("/score", content=png(1)).json()["score"]
    (line,) = Path("kept/answers.jsonl").read_text().splitlines()
    assert json.loads(line)["score"] == score
    assert Path(f"kept/{json.loads(line)['sha256']}.image").read_bytes() == png(1)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("serve.host=0.0.0.0", "can be reached from other machines"),
        ("serve.host=0.0.0.0 serve.token=short", "16 characters"),
        ("serve.waiting=0", "serve.waiting=0"),
        ("serve.seconds=0", "serve.seconds=0"),
        ("serve.port=70000", "serve.port=70000"),
        ("serve.further=[gone.ckpt]", "gone.ckpt"),
    ],
)
@pytest.mark.usefixtures("trained")
def test_what_cannot_be_is_refused(word: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*WORDS, *word.split()]) == 2
    assert text in capsys.readouterr().err


class Held:
    """Holds the scoring thread until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        from tasks.serving import scoring

        real = scoring.looks

        def held(*given: Any, **further: Any) -> Any:
            self.begun.set()
            assert self.go.wait(600)
            return real(*given, **further)

        monkeypatch.setattr(scoring, "looks", held)


def test_a_full_queue_answers_when_to_try_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    with start("serve.waiting=2") as address, ThreadPoolExecutor(2) as pool:

        def persistent(content: bytes) -> int:
            while (status := httpx2.post(f"{address}score", content=content, timeout=600).status_code) == 503:
                pass
            return status

        waiting = [pool.submit(persistent, png(k)) for k in range(2)]
        try:
            statuses: list[Any] = []
            while not statuses or statuses[-1].status_code != 503:
                statuses.append(httpx2.post(f"{address}score", content=b"no image", timeout=600))
            assert statuses[-1].headers["retry-after"] == str(server.RETRY)
        finally:
            held.go.set()
        assert [status.result() for status in waiting] == [200, 200]


def test_the_time_of_a_request_is_limited(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    with start("serve.seconds=0.5") as address:
        try:
            assert httpx2.post(f"{address}score", content=png(), timeout=600).status_code == 504
        finally:
            held.go.set()


def test_a_failure_spoils_no_other_image(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.serving import scoring

    real, bad = scoring.looks, png(7)

    def failing(models: Any, images: Any, *given: Any, **further: Any) -> Any:
        if bad in images:
            raise RuntimeError("secret")
        return real(models, images, *given, **further)

    monkeypatch.setattr(scoring, "looks", failing)
    with start() as address, ThreadPoolExecutor(6) as pool:
        sent = [pool.submit(httpx2.post, f"{address}score", content=png(k), timeout=600) for k in range(5, 11)]
        replies = [one.result() for one in sent]
    assert [reply.status_code for reply in replies] == [200, 200, 500, 200, 200, 200]
    assert "secret" not in replies[2].text


def test_200_requests_of_20_clients_with_hostile_files_among_them(start: Start) -> None:
    rng = np.random.default_rng(0)
    hostile = [b"", b"\x00" * 500, png()[:70], bomb(), rng.bytes(3000), b"\x89PNG\r\n\x1a\n" + rng.bytes(500),
               b"\xff\xd8\xff\xe0" + rng.bytes(400), b"RIFF\xff\xff\xff\xffWEBP" + rng.bytes(200),
               b"GIF89a" + rng.bytes(90),
               b"\xff\x0a" + rng.bytes(99), b"\0\0\0\x18ftypheic" + rng.bytes(300)]  # fmt: skip
    images = [png(k, 24 + k) for k in range(9)]
    wanted = dict(zip(images, load(BEST, device="cpu").score(images)["score"], strict=True))
    with start("serve.waiting=20") as address:

        def client(number: int) -> list[tuple[bytes, int, Any]]:
            found = []
            with httpx2.Client(base_url=address, timeout=600) as connection:
                for k in range(10):
                    bad = (number + k) % 4 == 0
                    content = (hostile if bad else images)[(number * 7 + k) % (len(hostile) if bad else len(images))]
                    reply = connection.post("/score", content=content)
                    found.append((content, reply.status_code, reply.json()))
            return found

        def load_once() -> list[tuple[bytes, int, Any]]:
            with ThreadPoolExecutor(20) as pool:
                return [one for part in pool.map(client, range(20)) for one in part]

        replies = load_once()
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        replies += load_once()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used
    assert len(replies) == 400
    for content, status, answer in replies:
        assert status == (200 if content in wanted else 422), answer
        if status == 200:
            assert answer["score"] == pytest.approx(wanted[content], abs=1e-5)
    assert grown < 100_000  # KiB; each of 400 requests keeping one decoded image of a photo would exceed it


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_browser_shows_verdict_votes_curve_and_metadata(start: Start) -> None:
    with start() as address, opened(address) as page:
        page.wait_for_selector("body[data-ready]")
        given = {"name": "<b>one</b>.png", "mimeType": "image/png", "buffer": png()}
        page.set_input_files("#file", [given])
        page.wait_for_selector('body[data-done="1"]')
        article = page.locator("article")
        assert article.locator("h2").inner_text() == given["name"]
        assert article.locator(".verdict").inner_text() in ("generated", "real", "unsure")
        assert article.locator("svg circle").count() == 2
        assert "jpeg-50" in article.locator("svg").text_content()
        assert "PNG" in article.inner_text()
        assert page.locator("#print").is_enabled()
        page.emulate_media(media="print")
        assert not page.locator("#drop").is_visible()
        page.emulate_media(media="screen")
        # the same by dropping, without deliveries
        page.locator("#deliveries").uncheck()
        content = base64.b64encode(png(1)).decode()
        dropped = page.evaluate_handle(
            """content => { const all = new DataTransfer();
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
            all.items.add(new File([bytes], "two.png"));
            return all; }""",
            content,
        )
        page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
        page.wait_for_selector('body[data-done="2"]')
        assert page.locator("article").first.locator("h2").inner_text() == "two.png"
        assert page.locator("article").first.locator("svg").count() == 0
