"""The review page: the cost of writing it, its size, and the time of each interaction in headless Chromium.

An interaction is timed from the event to the frame that shows it, including layout and painting. The best round of each
counts, and the slowest interaction is reported.
"""

import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import sync_playwright

from bench.parts.images import jpegs
from bench.parts.table import Row
from bench.parts.timing import pick
from benchmarks.predictions import Predictions, from_crops, write_predictions
from benchmarks.review import review
from contracts.errors import DataError

GENERATORS = 20
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
STEPS = """async () => {
  const at = (id) => document.getElementById(id), times = {};
  const set = (id, value, kind = "change") => {
    at(id).value = value;
    at(id).dispatchEvent(new Event(kind, { bubbles: true }));
  };
  const steps = {
    "threshold": () => set("slider-0", "700", "input"), "label": () => set("label", "1"),
    "generator": () => set("generator", at("generator").options[2].value), "reset": () => at("reset").click(),
    "axis": () => set("axis", "logit"), "order": () => set("order", "all"),
    "undecided": () => set("order", "undecided"),
    "slice column": () => set("by-column", "2"),
    "slice": () => document.querySelector("table.slice:not([hidden]) button").click(),
    "matrix": () => set("matrix-shows", "accuracy"),
    "matrix cell": () => document.querySelector("#matrix-table button").click(), "no filter": () => at("reset").click(),
    "confusion cell": () => at("fp-0").click(), "sheet": () => document.querySelector("#cards .card").click(),
    "star": () => at("star").click(), "close": () => at("viewer").close(),
  };
  for (const [name, act] of Object.entries(steps)) {
    await new Promise((done) => setTimeout(done, 400));
    const begun = performance.now();
    act();
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
    times[name] = performance.now() - begun;
  }
  at("reset").click();
  set("axis", "score");
  return times;
}"""  # the slider's lists are updated when it rests, so there is a pause between its steps


def measure() -> list[Row]:
    """Measures a page of 50,000 predictions with 300 images, and one of a million without."""
    encoded = jpegs(256)
    few = _page(pick(500, 50_000), lambda name: encoded[int(name) % len(encoded)], 300, 150, 15)
    many = _page(pick(1000, 1_000_000), _none, 1, 500, 40)
    return few + many


def _none(_id: str) -> bytes:
    raise DataError("this page has no images")


def _page(count: int, images: Callable[[str], bytes], most: int, slowest: float, size: float) -> list[Row]:
    way = f"{count:,} predictions, {f'{most} images' if most > 1 else 'no images'}"
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_predictions(folder / "a.npz", _predictions(count))
        begun, cpu = time.perf_counter(), time.process_time()
        page = review([folder / "a.npz"], folder / "out", images, max_images=most).page
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        ready, times = _interactions(page, pick(1, 3))
        megabytes = page.stat().st_size / 1e6
    last = max(times, key=lambda step: times[step])
    each = ", ".join(f"{step} {time:.0f}" for step, time in times.items())
    rows = [
        Row("review", f"{way}, slowest interaction", None, times[last], "ms", None, slowest, f"{last}; all: {each}"),
        Row("review", f"{way}, until the page is ready", None, ready, "s", None, 2 if most > 1 else None),
        Row("review", f"{way}, size of the page", None, megabytes, "MB", None, size),
        Row("review", f"{way}, writing", None, wall, "s", None, 30 if most == 1 else None,
            f"CPU seconds {cpu:.1f}{'' if most == 1 else ', intervals included'}"),
    ]  # fmt: skip
    return [*rows, Row("review", f"{way}, memory", None, peak, "GB", None, 2, "peak of the process")]


def _predictions(count: int) -> Predictions:
    """A dump of which half is generated, by `GENERATORS` generators, with four extra columns."""
    rng, rows = np.random.default_rng(0), np.arange(count)
    labels = rows % 2
    generators = np.where(labels == 1, 1 + rows % GENERATORS, 0)
    extra = {
        "quality": rng.integers(50, 100, count), "width": rng.integers(256, 2048, count),
        "height": rng.integers(256, 2048, count), "format": np.where(rng.random(count) < 0.7, "JPEG", "PNG"),
    }  # fmt: skip
    return from_crops(
        rng.normal(2.0 * labels - 1, 1.5), rows, labels, generators, rows.astype(str),
        source=np.where(rows % 3, "a", "b"),
        generator_id_to_name=["", *(f"generator-{k:02d}" for k in range(GENERATORS))], extra=extra,
        provenance={"experiment": "bench", "stage": "test", "threshold": 0.4},
    )  # fmt: skip


def _interactions(page: Path, rounds: int) -> tuple[float, dict[str, float]]:
    """Seconds until the page is ready, and milliseconds of each interaction, the best of all rounds.

    Raises:
        RuntimeError: no Chromium is installed.
    """
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        raise RuntimeError("python -m bench review needs Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        shown = window.new_page(viewport={"width": 1400, "height": 1000})
        shown.set_default_timeout(600_000)
        shown.goto(page.as_uri(), wait_until="commit")
        shown.wait_for_selector("body[data-ready]", state="attached")
        ready = float(shown.evaluate("() => performance.now()")) / 1e3
        timed: list[dict[str, float]] = [shown.evaluate(STEPS) for _ in range(rounds)]
        window.close()
    return ready, {step: min(times[step] for times in timed) for step in timed[0]}
