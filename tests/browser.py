"""A headless Chromium, driven by Playwright, for tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@contextmanager
def opened(address: str, width: int = 1400, *flags: str, **options: Any) -> Iterator[Page]:
    """A page in a browser of its own; ends with an error if the page threw or logged one, or asked for a network.

    Playwright is started and stopped here, because other tests of the process cannot run an event loop beside it.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *flags], timeout=120_000)
        try:
            page = browser.new_page(viewport={"width": width, "height": 1000}, **options)
            page.set_default_timeout(120_000)  # of a machine with more processes than cores
            wrong: list[str] = []
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
            page.goto(address)
            yield page
            assert wrong == [], wrong
        finally:
            browser.close()


@contextmanager
def review_page(page: Path, address: str = "", width: int = 1400, **options: Any) -> Iterator[Page]:
    """A review page whose script has run."""
    with opened(f"{page.as_uri()}{address}", width, **options) as found:
        found.wait_for_selector("body[data-ready]")
        yield found


def reviewed(page: Path, address: str = "", script: str = "", width: int = 1400) -> str:
    """The document of a review page after its own script, and the body of one more async function, have run."""
    with review_page(page, address, width) as found:
        found.evaluate(f"async () => {{ {script} }}")
        return found.content()


def barriers(page: Page) -> list[str]:
    """What axe-core finds wrong, and what is cut off, in light and dark on a phone's and a desk's screen."""
    found: list[str] = []
    for scheme in ("light", "dark"):
        for width in (390, 1440):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 900})
            wide = page.evaluate("() => document.documentElement.scrollWidth")
            found += [f"{scheme} {width}: scrolls to {wide}"] * (wide > width)
            for rule in Axe().run(page).response["violations"]:
                nodes = [f"{node['html'][:120]} {node['failureSummary']}" for node in rule["nodes"][:3]]
                found.append(f"{scheme} {width}: {rule['id']} {nodes}")
    return found
