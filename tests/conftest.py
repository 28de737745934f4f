"""Options and fixtures shared by all tests."""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from forked import Commands
from hypothesis import HealthCheck, settings

import golden_option

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two workers must not spin on each other's cores; before torch

# how fast a machine is says nothing about what is tested; chosen by name, since Hypothesis has one of its own for CI
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    plugin = pluginmanager.getplugin(golden_option.NAME)
    if plugin is None or Path.cwd().resolve() != golden_option.HERE:  # not installed, or begun elsewhere
        golden_option.add_option(parser)


@pytest.fixture(scope="session")
def golden_dir(request: pytest.FixtureRequest) -> Path:
    """The folder given by --golden; every parity test reads its vectors, sizes and seeds from there."""
    folder: Path = request.config.getoption("--golden")
    if not folder.is_dir():
        pytest.fail(f"--golden {folder}: no such folder")
    return folder.resolve()


@pytest.fixture(scope="session")
def golden_path(golden_dir: Path) -> Callable[[str], Path]:
    """Path of one golden file, relative to the folder; skips the test where the family is absent."""

    def path(name: str) -> Path:
        file = golden_dir / name
        if not file.exists():
            pytest.skip(f"{golden_dir} holds no {name}: this family's vectors are absent there")
        return file

    return path


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    """One process that forks commands; whoever uses it sets its folder first."""
    with Commands(tmp_path_factory.mktemp("zygote")) as started:
        yield started


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Captured output may hold names that are not UTF-8, which xdist cannot send from its workers."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report
