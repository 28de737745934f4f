"""Signatures read from source agree with those Python finds, without importing anything."""

import inspect
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from conf.keys.documented import argument_texts
from conf.keys.signatures import library_signature, signature
from conf.keys.values import fits
from contracts.errors import ConfigError
from detectors.base import Detector, Training

SOURCE = '''
import typing
import torch as t
from typing import TypedDict, Unpack
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

class Short(TypedDict, total=False):
    depth: int

class Long(Short, total=False):
    size: int

class Shared(Base):
    def __init__(self, own: str, **given: Unpack[Long]) -> None:
        super().__init__(**given)

class Partly(Base):
    def __init__(self, size: int = 5, **given: Unpack[Short]) -> None:
        super().__init__(size, **given)

class Twice(Shared):
    def __init__(self, **given: typing.Unpack[Short]) -> None:
        super().__init__("x", size=1, **given)

class Narrow(Base):
    def __init__(self, own: str, **given: Unpack[Short]) -> None:
        super().__init__(**given)

class Changed(Base):
    def __init__(self, own: str, **given: Unpack[Long]) -> None:
        super().__init__(**(Long(depth=7) | given))

class First(Base):
    kind = "first"

class Second(Base):
    kind = "second"
    mark = 2
    name = "second"
    def __init__(self, width: int) -> None: ...

class Diamond(First, Second): ...

class Mixin:
    def __init__(self, share: float = 0.5, **kwargs) -> None:
        super().__init__(**kwargs)

class Mixed(Mixin, Base): ...

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
def root(tmp_path: Path) -> Path:
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
        ("Shared", ["own", "size"], ["depth"]),
        ("Partly", [], ["depth", "size"]),
        ("Twice", [], ["depth"]),
        ("Narrow", ["own"], ["depth"]),
        ("Diamond", ["width"], []),
        ("Mixed", ["size"], ["depth", "share"]),
        ("Data", ["x"], ["y"]),
        ("More", ["x"], ["y", "z"]),
        ("function", ["q"], ["p"]),
        ("helper", ["x"], []),
        ("Builtin", ["a"], []),
        ("Base", ["size"], ["depth"]),
    ],
)
def test_own_signatures(root: Path, name: str, required: list[str], optional: list[str]) -> None:
    taken = signature(f"detectors.mine.{name}", root)
    assert sorted(p.name for p in taken.parameters.values() if p.required) == required
    assert sorted(p.name for p in taken.parameters.values() if not p.required) == optional
    assert not taken.library


def test_own_arguments_come_first_and_keep_their_defaults(root: Path) -> None:
    assert list(signature("detectors.mine.Shared", root).parameters) == ["own", "size", "depth"]
    partly = signature("detectors.mine.Partly", root).parameters
    assert [(p.name, p.default, p.annotation) for p in partly.values()] == [("size", "5", "int"), ("depth", "2", "int")]


def test_library_signatures_behind(root: Path) -> None:
    assert signature("detectors.mine.Open", root).anything
    assert signature("detectors.mine.function", root).anything
    assert not signature("detectors.mine.Through", root).anything
    assert signature("detectors.mine.Library", root).library == "pytorch_lightning.Callback"
    assert signature("detectors.mine.Bare", root).library == "torch.nn.Module"
    plain = signature("detectors.mine.Plain", root)
    assert plain.attributes == {"name": "base", "serves": ("test",)}
    diamond = signature("detectors.mine.Diamond", root)
    assert diamond.attributes == {"name": "second", "kind": "first", "mark": 2}
    assert plain.doc == "Its own constructor."
    assert plain.parameters["b"].annotation == "str"


def test_a_constructor_may_change_the_defaults_of_unpacked_arguments(root: Path) -> None:
    parameters = {n: signature(f"detectors.mine.{n}", root).parameters for n in ("Shared", "Changed")}
    assert parameters["Shared"]["depth"].default == "2"
    assert parameters["Changed"]["depth"].default == "7"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("detectors.mine.Plian", "'Plain'"),
        ("detectors.mien.Plain", "'detectors.mine'"),
        ("detectors.mine.system", "os.system"),
    ],
)
def test_wrong_names_are_explained(root: Path, target: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        signature(target, root)


DETECTORS = (
    "npr.detector.NPR",
    "npr.multiscale.NPRMultiScale",
    "classifier.detector.Classifier",
    "zed.detector.ZED",
    "tracer.inverse_detector.InverseDecoderDetector",
    "tracer.siblings_detector.SiblingsDetector",
)


@pytest.mark.parametrize(
    "target", ["contracts.view.View", "benchmarks.plain.Plain", *(f"detectors.{name}" for name in DETECTORS)]
)
def test_as_python_sees_them(target: str) -> None:
    module, _, name = target.rpartition(".")
    real = dict(inspect.signature(getattr(__import__(module, fromlist=[name]), name)).parameters)
    if (training := real.pop("training", None)) is not None:
        common = inspect.signature(Detector).parameters
        keys = training.annotation.__args__[0].__annotations__
        real |= {key: parameter for key, parameter in common.items() if key in keys}
    read = signature(target).parameters
    assert list(read) == list(real)
    for parameter in real.values():
        assert read[parameter.name].required == (parameter.default is inspect.Parameter.empty)


@pytest.mark.parametrize(
    ("name", "own", "batch_size"),
    [
        ("folder.FolderDataModule", "path columns labels splits split group fold_seed", "32"),
        ("photographs.PhotographsDataModule", "path valid columns group", "32"),
        ("sample.SampleDataModule", "", "32"),
        ("tracer.TracerDataModule", "path classes outlier", "16"),
    ],
)
def test_loading_arguments_of_data_modules(name: str, own: str, batch_size: str) -> None:
    read, base = (signature(f"datamodules.{n}").parameters for n in (name, "image_datamodule.ImageDataModule"))
    shared = [parameter for parameter in base if parameter != "path"]
    assert list(read) == [*own.split(), *shared]
    assert read["batch_size"].default == batch_size
    assert all(read[parameter] == base[parameter] for parameter in shared[1:])
    texts = argument_texts(f"datamodules.{name}")
    assert texts["num_workers"].startswith("loader processes")
    assert "loading" not in " ".join(texts[parameter] for parameter in own.split())


def test_training_arguments_of_detectors() -> None:
    common = dict(list(inspect.signature(Detector).parameters.items())[2:])
    assert {name: p.annotation for name, p in common.items()} == get_type_hints(Training)
    read = {name: signature(f"detectors.{name}").parameters for name in DETECTORS}
    assert {
        (name, key, parameter.default)
        for name, parameters in read.items()
        for key, parameter in parameters.items()
        if key in common and parameter.default != repr(common[key].default)
    } == {
        ("classifier.detector.Classifier", "channels_last", "False"),
        ("tracer.inverse_detector.InverseDecoderDetector", "scheduler_interval", "'epoch'"),
    }
    assert all(argument_texts(f"detectors.{name}")["scheduler_steps"].startswith("name of") for name in DETECTORS)


def test_libraries() -> None:
    trainer = library_signature("pytorch_lightning.Trainer")
    assert "gradient_clip_val" in trainer.parameters
    assert not trainer.anything
    assert library_signature("torch.optim.AdamW").parameters["params"].required
    with pytest.raises(ConfigError):
        library_signature("shutil.copy")


def test_reading_imports_nothing_heavy() -> None:
    targets = ["detectors.npr.detector.NPR", "datamodules.sample.SampleDataModule"]
    read = f"import sys, conf.keys.signatures as s; [s.signature(t) for t in {targets}]"
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
