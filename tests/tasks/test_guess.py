"""``task=guess`` by the real command line and over real connections, with a person who is a test or a browser."""

import csv
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, barriers, opened
from synthetic import parquet

pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'pixelproof[serve]'")
import httpx2

import tasks.guess
from benchmarks.people.answers import read_answers
from benchmarks.predictions import from_crops, write_predictions
from lightning_main import main
from tasks.scoring.map_files import file_name

HOUSE = Path(__file__).parents[2]
DATA = ["task=guess", "datamodule=parquet", "datamodule.path=data/drawn.parquet", "datamodule.columns.split=split",
        "datamodule.columns.generator=generator"]  # fmt: skip
EVIL = "<img src=x onerror=document.body.dataset.evil=1>"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts ``task=guess`` in a thread; its address, and a function that waits for its exit code."""
    monkeypatch.chdir(tmp_path)
    parquet(tmp_path / "data", {"train": 24, "test": 16})
    addresses, codes = queue.Queue(), queue.Queue()
    monkeypatch.setattr(tasks.guess, "_announce", addresses.put)

    def begin(*words):
        thread = threading.Thread(target=lambda: codes.put(main([*DATA, *words])), daemon=True)
        thread.start()
        return addresses.get(timeout=600), lambda: codes.get(timeout=600)

    return begin


def test_answers_continue_and_end_in_a_comparison_on_the_same_images(start, tmp_path, capsys):
    words = ["guess.images=6", "guess.person=Ann O", "guess.out=out", "guess.against=[a.npz]"]
    ids = [f"{split}/{k}" for split, count in (("train", 24), ("test", 10)) for k in range(count)]
    labels = np.array([k % 2 for k in range(34)])
    columns = {"labels": labels, "generators": labels, "ids": ids, "generator_id_to_name": ["", "repeat-a"]}
    logits = np.random.default_rng(0).normal(labels, 1)
    write_predictions(tmp_path / "a.npz", from_crops(logits, np.arange(34), **columns))
    address, code = start(*words)
    with httpx2.Client(base_url=address) as client:
        for k in range(6):
            assert client.get(f"/image/{k}").content.startswith(b"\x89PNG")
            client.post("/answer", json={"position": k, "called": 1, "seconds": 2})
        page = client.get("/result").text
    assert code() == 0
    file = next((tmp_path / "out").glob("*.jsonl"))
    answers = read_answers(file)
    assert answers.finished
    assert {image.id for image in answers.shown} <= set(ids)
    rows = {row["measure"]: row for row in csv.DictReader((file.with_suffix("") / "people.csv").open())}
    assert float(rows["accuracy"]["value"]) == answers.labels.mean()
    (paired,) = csv.DictReader((file.with_suffix("") / "people_against.csv").open())
    assert paired["images"] == "6"
    assert page == (file.with_suffix("") / "index.html").read_text()
    shown = capsys.readouterr().out
    assert "Ann O" in shown
    assert "McNemar" in shown
    # the same command shows the result again, and asks nothing; the answers stand beside the dump in a review
    assert main([*DATA, *words]) == 0
    assert read_answers(file).called.tolist() == answers.called.tolist()
    assert main(["task=review", "review.inputs=[a.npz]", f"review.people=[{file}]", "review.out=page"]) == 0
    text = (tmp_path / "page/index.html").read_text()
    assert '<section id="people"' in text
    assert '<i class="key person">P1</i>' in text
    assert main(["task=review", f"review.people=[{file}]", "review.out=alone"]) == 0
    assert 'id="people"' in (tmp_path / "alone/index.html").read_text()


def test_kill_9_loses_no_answer_and_the_same_command_continues(start, tmp_path):
    words = ["guess.images=4", "guess.out=out"]
    command = [sys.executable, str(HOUSE / "lightning_main.py"), *DATA, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+/", line)))
        with httpx2.Client(base_url=address) as client:
            for k in range(2):
                client.post("/answer", json={"position": k, "called": 1 - k, "seconds": 3})
        process.kill()
    assert process.returncode == -signal.SIGKILL
    address, code = start(*words)
    with httpx2.Client(base_url=address) as client:
        assert client.get("/state").json()["position"] == 2
        for k in (2, 3):
            client.post("/answer", json={"position": k, "called": 1, "seconds": 3})
        assert client.get("/result").status_code == 200
    assert code() == 0
    assert read_answers(tmp_path / "out/me.jsonl").called.tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("word", "code", "text"),
    [
        ("guess.images=0", 2, "guess.images=0"),
        ("guess.port=70000", 2, "guess.port=70000"),
        ('guess.person=" "', 2, "guess.person is empty"),
        ("guess.images=50", 1, "only 40 images can be shown"),
        ("guess.reveal=never", 2, "each"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_served(word, code, text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parquet(tmp_path / "data", {"train": 24, "test": 16})
    assert main([*DATA, "guess.out=out", word]) == code
    assert text in capsys.readouterr().err
    assert not list(tmp_path.glob("out/*.jsonl"))


@pytest.mark.parametrize("person", ["\U00020000" * 300, "..", "a/../../b", "\x00", ".hidden", "a\nb", "Zoë"])
def test_a_name_of_any_text_becomes_a_file_in_the_folder(person, tmp_path):
    file = tmp_path / f"{file_name(person)}.jsonl"
    file.touch()
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]
    assert not file.name.startswith(".")
    assert file_name(person) != file_name(f"{person}x")


def test_a_port_in_use_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    parquet(tmp_path / "data", {"train": 24, "test": 16})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main([*DATA, "guess.images=2", f"guess.port={taken.getsockname()[1]}"]) == 2
    assert "Give guess.port=0" in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to answer with")
def test_a_browser_with_keys_pause_undo_and_zoom(start, tmp_path):
    address, code = start("guess.images=3", f'guess.person="{EVIL}"', "guess.out=out")
    with opened(address) as page:
        press, image = page.keyboard.press, page.locator("#image")

        def asked(text: str) -> None:
            page.locator("body[data-mode=asking] #count").get_by_text(text, exact=True).wait_for()

        asked("0 of 3")
        assert barriers(page) == []
        press("p")
        page.locator("#cover").wait_for()
        assert page.locator("#generated").is_disabled()
        page.locator("#go").click()
        asked("0 of 3")
        press("g")
        asked("1 of 3")
        assert page.locator("#bar").evaluate("bar => bar.value") == 1
        press("u")
        asked("0 of 3")
        press("r")
        asked("1 of 3")
        press("1")
        press("+")
        assert image.evaluate("i => i.width === 2 * i.naturalWidth && i.className === 'crisp'")
        press("f")
        page.locator("#generated").click()
        asked("2 of 3")
        press("G")
        page.locator("body[data-mode=complete] #go").click()
        page.locator("#people").wait_for()
        found = page.content()
    assert code() == 0
    (file,) = (tmp_path / "out").glob("*.jsonl")
    answers = read_answers(file)
    assert answers.called.tolist() == [0, 1, 1]
    assert answers.sitting.person == EVIL
    assert "data-evil" not in found
    assert "&lt;img src=x" in found
