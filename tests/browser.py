"""A headless Chromium, for tests of pages."""

import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)


def dom_of(address: str, folder: Path, width: int = 1400, *flags: str) -> str:
    """The document at an address after its scripts have run for four seconds of virtual time, which network stops."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        f"--user-data-dir={tempfile.mkdtemp(dir=folder)}", "--virtual-time-budget=4000",
        f"--window-size={width},1000", *flags, "--dump-dom", address,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout


def reviewed(page: Path, address: str = "", script: str = "", width: int = 1400) -> str:
    """The document of a review page after its own script and one more have run."""
    file = page.with_name("tried.html")
    file.write_text(page.read_text().replace("</body>", f"<script>{script}</script></body>"))
    found = dom_of(f"{file.as_uri()}{address}", page.parent, width)
    assert 'data-ready="1"' in found, "the page's script stopped"
    return found
