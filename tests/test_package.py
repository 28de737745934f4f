"""The installed package: the wheel holds what the code reads, and works in an empty folder without the repository."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGEST = 30_000_000
"""Bytes that the wheel may have; the sample corpus takes 26 million."""
NOT_PACKED = {"bench", "docs", "experiments_data", "experiments_logs", "findings", "tests"}
HIDDEN = shutil.ignore_patterns(".*", "build", "site", "*.egg-info", "__pycache__", *NOT_PACKED)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, since a build leaves its own folders behind."""
    copy, out = tmp_path_factory.mktemp("source") / "copy", tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, copy, ignore=HIDDEN)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        ".",
    ]
    subprocess.run(command, cwd=copy, check=True, timeout=600)
    (built,) = out.iterdir()
    return built


def test_the_wheel_holds_every_file_that_the_code_reads(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    folders = {name.partition("/")[0] for name in packed if name.endswith("/__init__.py")}
    assert {folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").is_file()} - NOT_PACKED == folders
    files = {
        file.relative_to(ROOT).as_posix() for name in folders for file in (ROOT / name).rglob("*") if file.is_file()
    }
    local = {"conf/local/default.yaml"}
    assert {name for name in files if "__pycache__" not in name} - packed - local == set()
    assert wheel.stat().st_size < LARGEST


def test_the_installed_command_works_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    (tmp_path / "empty").mkdir()
    env = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "OMP_NUM_THREADS": "1"}
    script = "import sys, lightning_main; print(lightning_main.__file__); sys.exit(lightning_main.main())"

    def run(*words: str) -> str:
        command = [sys.executable, "-P", "-c", script, *words]
        done = subprocess.run(
            command, cwd=tmp_path / "empty", env=env, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run("--version").startswith(str(tmp_path / "installed"))
    run("task=prepare", "experiment_id=tried", "datamodule=sample", "prepare.limit=60", "prepare.workers=1")
    run("task=explore", "experiment_id=tried", "datamodule=sample", "explore.images=9")
    assert (tmp_path / "empty" / "experiments_data" / "tried" / "explore" / "index.html").is_file()


@pytest.mark.skipif(shutil.which("hadolint", path=Path(sys.executable).parent) is None, reason="no hadolint here")
def test_the_dockerfile_has_no_warning() -> None:
    subprocess.run([Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"], check=True, timeout=60)


def test_every_extra_is_explained() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "start.md").read_text(), re.MULTILINE)
    assert sorted(table) == sorted(extras)


def test_a_container_runs_the_commands_of_the_readme() -> None:
    first = re.findall(r"^```\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)[0]
    docker = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^(make \w+)", first, re.MULTILINE) == re.findall(r"docker run .* pixelproof (make \w+)", docker)
    assert docker.rstrip().endswith('CMD ["make", "demo"]')


def test_the_python_versions_named_are_those_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    tested = re.findall(r"python(3\.\d+)", re.findall(r"PYTHONS:-(.*)}", (ROOT / "tests" / "next.sh").read_text())[0])
    assert named == tested
    assert project["requires-python"] == f">={named[0]}"
