"""The option ``pytest --golden DIR``, defined before pytest looks for its configuration; does nothing elsewhere.

Options of a conftest file are not known yet when pytest looks for its configuration. It takes DIR for a folder of
tests, and if DIR is outside the repository, finds neither configuration nor conftest file there. Therefore this module
is an entry point of pytest (group ``pytest11``), and starts pytest again with the configuration given.
"""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
NAME = "pixelproof_golden"  # Name of the entry point


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Adds the option in this repository, and starts pytest again if the option's argument misled it."""
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
    """Adds the option."""
    parser.addoption(
        "--golden",
        type=Path,
        default=HERE / "tests" / "golden",
        help="folder of golden vectors (numbers produced by the original implementations)",
    )
