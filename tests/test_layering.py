"""Imports point down, as docs/architecture.md says; read from the source, nothing is imported for it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "contracts": set(),
    "datamodules": {"contracts"},
    "benchmarks": {"contracts", "datamodules"},
    "detectors": {"contracts"},
    "callbacks": {"contracts", "detectors", "benchmarks"},
    "launchers": {"contracts"},
    "conf": {"contracts", "detectors"},
    "tasks": {"contracts", "datamodules", "benchmarks", "detectors", "callbacks", "conf", "launchers"},
    "lightning_main": {"contracts", "conf", "tasks", "launchers"},
    "pixelproof": {"contracts", "benchmarks", "conf", "tasks", "lightning_main"},
    "bench": {"contracts", "datamodules", "benchmarks", "detectors", "callbacks", "conf", "tasks", "lightning_main"},
}
"""Packages that each package may import besides itself."""

BORDERS = {
    ("callbacks", "detectors"): ("detectors.base", "detectors.parts.weights"),
    ("callbacks", "benchmarks"): (
        "benchmarks.predictions",
        "benchmarks.metrics",
        "benchmarks.evaluation",
        "benchmarks.attribution.measures",
        "benchmarks.thresholds.rules",
        "benchmarks.fusion",
        "benchmarks.ai_genbench",
    ),
    ("conf", "detectors"): ("detectors.base",),
}
"""Where a package may import only some of another's modules."""

INNER = {
    "datamodules": (
        ".", "pairing", "aligning", "auditing", "preparing", "arrow", "deliveries", "loading", "loading.containers",
        "folders", "tables",
    ),
    "benchmarks": (
        "review", "exploring", "people", "leaderboard", "comparison", "robustness", "real_stats", "forensynths_tables",
        "thresholds", "calibration", "attribution", "ai_genbench", "ai_genbench.images", "ai_genbench.protocol",
        "intervals", ".", "dumps", "drawing",
    ),
    "detectors": (
        "exported", "ensemble", "drift", "fgts", "rine",
        "aeroblade", "patchcraft", "residual", "npr", "classifier", "zed", "zed.models", "zed.entropy", "tracer",
        "tracer.measuring", "tracer.deciding", "tracer.models", "backbones", "parts.training", "parts", ".",
    ),
    "callbacks": ("explaining", "reporting", "."),
    "contracts": ("web", ".", "process"),
    "bench": (".", "data", "detectors", "results", "parts"),
    "conf": ("help", ".", "cli", "keys"),
    "tasks": (
        ".", "exporting", "serving", "models", "tracing", "multirun", "auditing", "scoring", "checking", "experiment",
    ),
}  # fmt: skip
"""Packages inside a package, each of which imports only those behind it; "." is the package's own folder."""

LIGHT = (
    "benchmarks/review", "benchmarks/predictions.py", "benchmarks/metrics.py", "benchmarks/evaluation.py",
    "pixelproof/dumps.py",
)  # fmt: skip
"""Read and measured on any laptop: without torch, and so in seconds."""
HEAVY = ("torch", "torchvision", "pytorch_lightning", "lightning_fabric", "timm", "open_clip")


def files(package: str) -> list[Path]:
    single = ROOT / f"{package}.py"
    return [single] if single.is_file() else sorted((ROOT / package).rglob("*.py"))


def imported(file: Path) -> Iterator[str]:
    """Dotted names of the modules a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the package they come from"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def upward(package: str, file: Path) -> list[str]:
    """Imports of a file that its package may not make."""
    found = []
    for name in imported(file):
        other = name.partition(".")[0]
        if other not in MAY_IMPORT or other == package:
            continue
        allowed = BORDERS.get((package, other), (other,))
        whole = (ROOT / Path(*name.split("."))).with_suffix(".py").is_file()
        if other not in MAY_IMPORT[package] or (whole and not any(f"{name}.".startswith(f"{a}.") for a in allowed)):
            found.append(f"{file.relative_to(ROOT)} imports {name}")
    return found


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_down(package: str) -> None:
    assert files(package)
    assert [line for file in files(package) for line in upward(package, file)] == []


@pytest.mark.parametrize("package", INNER)
def test_imports_between_the_packages_inside_point_down(package: str) -> None:
    order = [package if inner == "." else f"{package}.{inner}" for inner in INNER[package]]
    place = {file: ".".join(file.relative_to(ROOT).parent.parts) for file in files(package)}
    assert set(order) == set(place.values())
    modules = {f"{name}.{file.stem}": name for file, name in place.items()}
    upward = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file, own in place.items()
        for name in imported(file)
        if name in modules and order.index(modules[name]) < order.index(own)
    }
    assert upward == set()


def test_an_arrow_pointing_up_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    for name in ("detectors/a.py", "datamodules/b.py", "callbacks/c.py", "detectors/npr.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "detectors/a.py").write_text("def f():\n    from datamodules.b import g\n")
    (tmp_path / "callbacks/c.py").write_text("import contracts.batch\nfrom detectors import npr\n")
    assert upward("detectors", tmp_path / "detectors/a.py")
    assert upward("callbacks", tmp_path / "callbacks/c.py") == ["callbacks/c.py imports detectors.npr"]


def test_every_package_is_known() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages <= MAY_IMPORT.keys()


def test_no_test_file_is_overlooked() -> None:
    """Pytest collects ``test_*.py`` alone."""
    files = [file for file in (ROOT / "tests").rglob("test_*") if file.is_file() and "__pycache__" not in file.parts]
    assert [file for file in files if file.suffix != ".py" and "golden" not in file.parts] == []


def closure(start: list[Path]) -> Iterator[tuple[Path, str]]:
    """Files reached from some by imports inside the house that run on import, and all that each imports so."""
    waiting, seen = list(start), set()
    while waiting:
        file = waiting.pop()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        for node in ast.parse(file.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            for name in names:
                yield file, name
                place = ROOT / Path(*name.split("."))
                parents = [place.with_suffix(".py"), place / "__init__.py", place.parent / "__init__.py"]
                waiting += [path for path in parents if ROOT in path.parents]


def test_reviewing_and_measuring_need_no_torch() -> None:
    start = [file for place in LIGHT for file in ([ROOT / place] if place.endswith(".py") else files(place))]
    assert len(start) > len(LIGHT)
    heavy = {f"{file.relative_to(ROOT)} imports {name}" for file, name in closure(start) if name.split(".")[0] in HEAVY}
    assert heavy == set()


def test_nor_does_python_load_it() -> None:
    code = f"import sys, benchmarks.review, benchmarks.metrics, tasks.review; print({{*{HEAVY}}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"
