"""Tiny untrained siblings, images of theirs, and a first trace: what tests of tracing share."""

import shutil
from pathlib import Path

import pytest

import tasks.tracing.steps
from conf.compose import compose
from tasks.experiment.run import Run
from tasks.generate import generate
from tasks.trace import trace
from tests.detectors.tracer.tracer_zoo import SIBLINGS, zoo
from tests.synthetic import parquet

CLASSES = (*SIBLINGS, "outlier")
TRAIN, TEST = 8, 3


def world(base: Path) -> Path:
    """Weights, generated images per label for training and in one flat folder for testing."""
    zoo(base / "zoo")
    parquet(base / "drawn", {"train": 12, "test": 4})
    words = ["task=generate", f"generate.weights={base / 'zoo'}", f"generate.out={base / 'images'}"]
    words += [f"generate.train={TRAIN}", "generate.valid=0", f"generate.test={TEST}", "datamodule=parquet"]
    generate(Run(compose([*words, f"datamodule.path={base / 'drawn'}", "datamodule.columns.split=split"])))
    shutil.copytree(base / "images" / "train", base / "data" / "train")
    (base / "data" / "test").mkdir()
    for file in sorted((base / "images" / "test").rglob("*.png")):
        shutil.copy(file, base / "data" / "test" / f"{file.parent.name}-{file.name}")
    return base


def words(base, data, *more):
    """Of the command line that traces ``data`` into ``base/out``."""
    given = [f"detector.weights={base / 'zoo'}", f"datamodule.path={data}", f"trace.out={base / 'out'}"]
    given += ["detector.candidates=2", "detector.routes=[calibrated,prada]", "detector.prada_epochs=5"]
    given += ["detector.folds=2", "trace.block=16", "trainer=cpu", "experiment_id=t"]
    return ["task=trace", "detector=tracer", "datamodule=tracer", *given, *more]


def counted(base, data, *more):
    """Traces; gives images that went through a tokenizer and through a variant."""
    seen = {"encode": 0, "variant": 0}
    encode, variant = tasks.tracing.steps.encode_pass, tasks.tracing.steps.variant_pass
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks.tracing.steps, "encode_pass", lambda t, x, *a: _count(seen, "encode", x, encode(t, x, *a)))
        patch.setattr(
            tasks.tracing.steps,
            "variant_pass",
            lambda m, x, *a, **k: _count(seen, "variant", x, variant(m, x, *a, **k)),
        )
        trace(Run(compose(words(base, data, *more))))
    return seen


def _count(seen, name, x, result):
    seen[name] += len(x)
    return result
