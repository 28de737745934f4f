"""The documentation as a site: built without a warning, nothing loaded from elsewhere, searched without a server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from browser import CHROMIUM, opened

import pixelproof
from conf.cli.groups import CONF, group_options
from conf.keys.verbs import verbs

ROOT = Path(__file__).parents[1]
LOADED = re.compile(
    r'(?:<(?:script|img|iframe)[^>]* src|<link[^>]*rel="(?:stylesheet|icon|preconnect)"[^>]* href)="?(https?:[^" >]*)'
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    written = {page.relative_to(ROOT / "docs").with_suffix(".html") for page in (ROOT / "docs").rglob("*.md")}
    assert written < {page.relative_to(site) for page in pages}
    assert {found for page in pages for found in LOADED.findall(page.read_text())} == set()


def test_the_reference_explains_every_task_and_option(site: Path) -> None:
    text = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    groups = ("detector", "datamodule", "benchmark", "experiment", "trainer", "launcher", "logger", "callbacks")
    words = [f"task={name}" for name in verbs()]
    words += [f"{group}={name}" for group in groups for name in group_options(group, CONF)]
    assert [word for word in words if f">{word}<" not in text] == []


def test_python_names_and_the_notebook_are_explained(site: Path) -> None:
    text = (site / "api.html").read_text()
    assert [name for name in pixelproof.__all__ if f'id="pixelproof.{name}"' not in text] == []
    assert "P(generated) in [0, 1]" in text
    notebook = (site / "first_steps.html").read_text()
    assert 'href="api.html"' in notebook
    assert "nowhere.jpg</td>" in notebook  # an output


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_search_works_without_a_server(site: Path) -> None:
    with opened(f"{(site / 'index.html').as_uri()}?q=conformal") as page:
        page.wait_for_selector(".md-search-result__list a[href*='trust.html']", state="attached")


def test_a_dead_link_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("[nowhere](none.md) [no heading](#none)\n")
    settings = (ROOT / "mkdocs.yml").read_text().partition("nav:")[0].replace("hooks: [docs/hooks.py]\n", "")
    (tmp_path / "mkdocs.yml").write_text(settings)
    command = [sys.executable, "-m", "mkdocs", "build"]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600, check=False)
    assert built.returncode != 0
    assert "none.md" in built.stderr
    assert "#none" in built.stderr
