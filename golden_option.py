"""``pytest --golden DIR``, known before pytest looks for its configuration; does nothing in any other project.

An option of a conftest file is not known yet when pytest decides where it is: it takes DIR for a place of tests, and
where DIR lies outside the repository, finds neither configuration nor conftest file there. So this module is an entry
point of pytest's (group ``pytest11``), and starts pytest once more with the configuration named.
"""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NAME = "pixelproof_golden"  # Of the entry point


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Adds the option within this repository, and starts again where its argument misled pytest."""
    config = pluginmanager.getplugin("pytestconfig")
    if config is None or config.invocation_params.dir.resolve() != HERE:
        return
    add_option(parser)
    arguments = [str(argument) for argument in config.invocation_params.args]
    started = Path(sys.argv[0]).name in ("pytest", "py.test", "__main__.py")
    if config.inipath is None and started and "--golden" in arguments:
        command = [sys.executable, "-m", "pytest", "-c", str(HERE / "pyproject.toml"), *arguments]
        os.execv(sys.executable, command)  # noqa: S606 - our own command again


def add_option(parser: pytest.Parser) -> None:
    """The option itself."""
    parser.addoption(
        "--golden",
        type=Path,
        default=HERE / "tests" / "golden",
        help="folder of golden vectors (numbers produced by the original implementations)",
    )
