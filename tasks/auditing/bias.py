"""``task=audit ckpt=FILE``: what a detector relies on, measured by changing the test images of one class."""

from pathlib import Path

import numpy as np
from rich.text import Text

from benchmarks.robustness.bias import delivery_biases
from benchmarks.robustness.bias_show import markdown, terminal, tidy, verdict
from callbacks.collector import Collector
from contracts.errors import ConfigError, DataError
from contracts.files import write_atomically
from contracts.keys import random_key
from contracts.screen import display
from contracts.stage import Rows
from datamodules.deliveries.cache import delivered
from datamodules.deliveries.deliveries import chosen
from datamodules.tables.manifest import Manifest
from tasks.experiment.run import Run
from tasks.experiment.splits import refuse_trained
from tasks.scoring.evaluate import load_detector, quiet_trainer, score
from tasks.scoring.redelivered import again


def audit_detector(run: Run, ckpt: Path) -> None:
    """Scores test images as they are and after each of ``audit.deliveries``; writes bias.md and bias.csv.

    Raises:
        ConfigError: an option is out of range, or a delivery is unknown.
        DataError: the images lack a class, or the checkpoint was trained on some of them.
    """
    options = run.config.audit
    if options.images is not None and options.images < 1:
        raise ConfigError(f"audit.images={options.images}", "Give 1 or more, or null for all images.")
    ways = delivered(chosen(options.deliveries), None)
    if not ways:
        raise ConfigError("audit.deliveries is empty", "Give deliveries, for example audit.deliveries=[jpeg-75].")
    out = run.out(options.out)
    loaded, datamodule = load_detector(run, ckpt), run.datamodule()
    detector, manifest = loaded.detector, datamodule.manifest()
    rows = audited_rows(manifest, options.images, run.config.seed)
    refuse_trained(ckpt, manifest, rows, run.composed.resolved, roles=("train", "valid"), verb="audit")
    collector = Collector(run.benchmark().fusion)
    trainer = quiet_trainer(run, collector, scored=(detector, datamodule), logger=False)
    datamodule.use(detector.train_view, detector.eval_view, sides=detector.sides)
    clean = score(trainer, detector, datamodule, rows, collector, "predict")
    passes = {}
    for number, (name, delivery) in enumerate(ways.items(), 1):
        if trainer.is_global_zero:
            print(f"delivery {number} of {len(ways)}: {name}", flush=True)
        datamodule.use(detector.train_view, detector.eval_view, delivery, detector.sides)
        found, failures = again(trainer, detector, datamodule, rows, collector)
        if found is not None:
            passes[name] = found
        elif trainer.is_global_zero:
            print(f"no image could be scored after {name}: {next(iter(failures.values()))}")
    if clean is None:
        return
    if not passes:
        raise DataError("no image could be scored after any delivery", "Choose other audit.deliveries.")
    results = delivery_biases(clean, passes)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "bias.md", markdown(results, ckpt.name).encode())
    write_atomically(out / "bias.csv", tidy(results).encode())
    display(terminal(results), *map(Text, verdict(results)))
    print(f"{out / 'bias.md'} and {out / 'bias.csv'}")


def audited_rows(manifest: Manifest, most: int | None, seed: int) -> Rows:
    """Test images of both classes, or all images without a test split; at most so many of each, sampled by id.

    Raises:
        DataError: a class is absent.
    """
    rows = manifest.rows("test")
    rows = rows if len(rows) else manifest.rows("train", "valid", "test", "")
    labels, ids = manifest.labels[rows], manifest.column("id")
    kept = []
    for label, name in ((0, "real"), (1, "generated")):
        own = rows[labels == label]
        if not len(own):
            raise DataError(
                f"none of the {len(rows)} images to audit is {name}",
                "Give a data set with labels of both classes, for example datamodule=image_tree.",
            )
        keys = [random_key(seed, "audit", str(ids[row])) for row in own]
        kept.append(own[np.argsort(keys, kind="stable")[:most]])
    return np.sort(np.concatenate(kept))
