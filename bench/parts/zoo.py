"""Measurements of the published detectors in docs/zoo.json, and the table of docs/zoo.md that shows them."""

import json
import math
import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack, chdir
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
import yaml
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from conf.build import build
from conf.compose import compose
from contracts.errors import DataError
from contracts.files import write_atomically
from detectors.backbones.libraries import LIBRARIES
from detectors.backbones.library import Built
from detectors.base import Detector
from detectors.tracer.models.sizes import VarVqvaeSize
from detectors.tracer.models.var_vqvae import VarVqvae

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
MARKS = ("<!-- python -m bench zoo writes from here -->", "<!-- to here -->")
HEAD = "| detector | parameters (trained) | images/s | AUROC | generators seen | not seen | note |"
PENDING = "not measured"  # Cell of a measurement that has not been made

Facts = Mapping[str, Any]


def methods() -> dict[str, dict[str, Any]]:
    """Entries of docs/zoo.yaml by name; those without ``weights`` also have ``recipe``, all words of the training."""
    page = yaml.safe_load((DOCS / "zoo.yaml").read_text())
    found: dict[str, dict[str, Any]] = page["methods"]
    for facts in found.values():
        if "weights" not in facts:
            crops = page["crops"] if facts.get("crops", True) else ""
            own = f"{facts['words']} {facts.get('training', '')}"
            facts["recipe"] = " ".join(f"{page['recipe']} {crops} {own}".split())
    return found


def kept() -> dict[str, dict[str, Any]]:
    """The content of docs/zoo.json, by name; empty without the file."""
    file = DOCS / "zoo.json"
    found: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    return found


def keep(name: str, found: Facts) -> None:
    """Adds the measurements of one method to docs/zoo.json, and rewrites the table."""
    known = kept()
    known[name] = known.get(name, {}) | dict(found)
    write_atomically(DOCS / "zoo.json", (json.dumps(known, indent=1) + "\n").encode())
    rewrite()


def rewrite() -> None:
    """Rewrites the table of docs/zoo.md."""
    page = DOCS / "zoo.md"
    write_atomically(page, written(page.read_text(), methods(), kept()).encode())


def untrained(facts: Facts) -> Detector:
    """A method's detector with random weights, ready to score: neither its parameters nor its speed depend on them."""
    words = [*shlex.split(facts["words"]), "datamodule=hdf5", "datamodule.path=unread.h5"]
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        stack.enter_context(chdir(folder))
        for file, made in facts.get("files", {}).items():
            torch.save(RANDOM[made]().state_dict(), file)
        for library in LIBRARIES.values():
            stack.enter_context(patch.object(library, "build", partial(_random, library.build)))
        detector: Detector = build(compose(words).resolved["detector"])
    detector.eval()
    detector.configure_model()
    return detector


def _vgg16() -> nn.Module:
    """The convolutions of VGG16 under torchvision's names."""
    return nn.ModuleDict({"features": make_layers(cfgs["D"], batch_norm=False)})


RANDOM: Mapping[str, Callable[[], nn.Module]] = {"var_vqvae": partial(VarVqvae, VarVqvaeSize()), "vgg16": _vgg16}
"""Networks that ``files`` of docs/zoo.yaml may name; their random weights are written to a file for a method."""


def _random(build_backbone: Callable[..., Built], name: str, pretrained: bool, *rest: Any) -> Built:  # noqa: ARG001
    """A backbone with random weights, whichever weights are requested."""
    return build_backbone(name, False, *rest)


def written(page: str, facts_of: Mapping[str, Facts], found: Mapping[str, Facts]) -> str:
    """The page with a new table between `MARKS`.

    Args:
        page: text of docs/zoo.md.
        facts_of: entries of docs/zoo.yaml by name, in the order of the rows.
        found: measurements by name; methods without any have no row.

    Raises:
        DataError: the page lacks a mark.
    """
    before, first, rest = page.partition(MARKS[0])
    _, second, after = rest.partition(MARKS[1])
    if not first or not second:
        raise DataError(f"docs/zoo.md lacks {MARKS[1] if first else MARKS[0]}", "Restore the marks of its table.")
    lines = [HEAD, "|---|--:|--:|--:|--:|--:|---|"]
    for name, facts in facts_of.items():
        if name in found:
            one = found[name]
            rate = f"{_short(one['rate'])} ({facts.get('size', 256)}²)" if one.get("rate") else PENDING
            counts = f"{one['parameters']:,} ({one['trained']:,})" if "parameters" in one else PENDING
            areas = [_area(one.get(kind)) for kind in ("pooled", "seen", "unseen")]
            if "weights" in facts:
                areas = [f"none: needs weights of {facts['weights']}", "–", "–"]
            lines.append("| " + " | ".join([f"`{name}`", counts, rate, *areas, facts.get("note", "")]) + " |")
    return "\n".join([before + first, *lines, second + after])


def _area(found: Mapping[str, float] | None) -> str:
    return PENDING if found is None else f"{found['value']:.2f} ({found['low']:.2f}–{found['high']:.2f})"


def _short(rate: float) -> str:
    """Two significant digits, without an exponent."""
    places = 1 - math.floor(math.log10(float(f"{rate:.1e}")))
    return f"{round(rate, places):.{max(0, places)}f}"
