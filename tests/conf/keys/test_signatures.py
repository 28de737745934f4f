"""Signatures read from source agree with those Python finds, without importing anything."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from conf.keys.signatures import library_signature, signature
from conf.keys.values import fits
from contracts.errors import ConfigError

SOURCE = '''
import torch as t
from dataclasses import dataclass, field
from pytorch_lightning import Callback
from os import system
from detectors.other import Base, helper
from .other import Base as Near

class Plain(Base):
    """Its own constructor."""
    serves = ("test",)
    def __init__(self, a: int, *, b: str = "x") -> None: ...

class Heir(Base): ...

class Through(Base):
    def __init__(self, extra: float = 1.0, **kwargs) -> None:
        super().__init__(size=3, **kwargs)

class Positional(Near):
    def __init__(self, **kwargs):
        super().__init__(3, **kwargs)

class Open:
    def __init__(self, **kwargs): ...

class Library(Callback):
    def __init__(self, a, **kwargs):
        super().__init__(**kwargs)

class Bare(t.nn.Module): ...

class Builtin(dict):
    def __init__(self, a): ...

@dataclass(frozen=True)
class Data:
    x: int
    y: list[int] = field(default_factory=list)

@dataclass
class More(Data):
    z: str = "z"

def function(p: int | None = None, *rest, q, **others): ...
'''
OTHER = """
class Base:
    name = "base"
    def __init__(self, size: int, depth: int = 2) -> None: ...

def helper(x): ...
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "detectors").mkdir()
    for name, text in (("__init__", ""), ("mine", SOURCE), ("other", OTHER)):
        (tmp_path / f"detectors/{name}.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "required", "optional"),
    [
        ("Plain", ["a"], ["b"]),
        ("Heir", ["size"], ["depth"]),
        ("Through", [], ["depth", "extra"]),
        ("Positional", [], ["depth"]),
        ("Data", ["x"], ["y"]),
        ("More", ["x"], ["y", "z"]),
        ("function", ["q"], ["p"]),
        ("helper", ["x"], []),
        ("Builtin", ["a"], []),
        ("Base", ["size"], ["depth"]),
    ],
)
def test_own_signatures(house: Path, name: str, required: list[str], optional: list[str]) -> None:
    taken = signature(f"detectors.mine.{name}", house)
    assert sorted(p.name for p in taken.parameters.values() if p.required) == required
    assert sorted(p.name for p in taken.parameters.values() if not p.required) == optional
    assert not taken.library


def test_what_lies_behind(house: Path) -> None:
    assert signature("detectors.mine.Open", house).anything
    assert signature("detectors.mine.function", house).anything
    assert not signature("detectors.mine.Through", house).anything
    assert signature("detectors.mine.Library", house).library == "pytorch_lightning.Callback"
    assert signature("detectors.mine.Bare", house).library == "torch.nn.Module"
    plain = signature("detectors.mine.Plain", house)
    assert plain.attributes == {"name": "base", "serves": ("test",)}
    assert plain.doc == "Its own constructor."
    assert plain.parameters["b"].annotation == "str"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("detectors.mine.Plian", "'Plain'"),
        ("detectors.mien.Plain", "'detectors.mine'"),
        ("detectors.mine.system", "os.system"),
    ],
)
def test_wrong_names_are_explained(house: Path, target: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        signature(target, house)


@pytest.mark.parametrize("target", ["detectors.npr.detector.NPR", "contracts.view.View", "benchmarks.plain.Plain"])
def test_as_python_sees_them(target: str) -> None:
    module, _, name = target.rpartition(".")
    real = inspect.signature(getattr(__import__(module, fromlist=[name]), name)).parameters
    read = signature(target).parameters
    assert list(read) == list(real)
    for parameter in real.values():
        assert read[parameter.name].required == (parameter.default is inspect.Parameter.empty)


def test_libraries() -> None:
    trainer = library_signature("pytorch_lightning.Trainer")
    assert "gradient_clip_val" in trainer.parameters
    assert not trainer.anything
    assert library_signature("torch.optim.AdamW").parameters["params"].required
    with pytest.raises(ConfigError):
        library_signature("shutil.copy")


def test_reading_imports_nothing_heavy() -> None:
    read = "import sys, conf.keys.signatures as s; s.signature('detectors.npr.detector.NPR')"
    code = f"{read}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("value", "annotation", "fit"),
    [
        (True, "bool", True),
        ("False", "bool", False),
        (1, "bool", False),
        (1, "int", True),
        (True, "int", False),
        (0.5, "int", False),
        (1, "float", True),
        (None, "float | None", True),
        (None, "float", False),
        ("a", "str | Path", True),
        (3, "str", False),
        ("one", 'Literal["one", "five"]', True),
        ("two", 'Literal["one", "five"] | None', False),
        ([1], "Sequence[int]", True),
        ("a", "list[str]", False),
        ("anything", "Backend", True),
        ("anything", "", True),
    ],
)
def test_plain_values_fit_annotations(value: object, annotation: str, fit: bool) -> None:
    assert fits(value, annotation) is fit
