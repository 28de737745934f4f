"""``task=generate``: images with known generators, classes and tokens, to train inverse decoders and the tracer on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from contracts.errors import ConfigError
from contracts.files import csv_text, write_atomically, write_npz
from contracts.keys import generator, random_key
from contracts.words import counted
from datamodules.loading.decode import decode
from detectors.tracer.measuring.zoo import Variant, Zoo
from detectors.tracer.models.sampling import sample
from detectors.tracer.models.sizes import OUTLIER
from detectors.tracer.siblings_detector import SiblingsDetector
from tasks.experiment.run import Run
from tasks.scoring.evaluate import load_detector

HEADER = ("path", "label", "split", "class")


def generate(run: Run) -> None:
    """Samples images with known tokens from every variant in a folder of weights, or of trained siblings (ckpt=FILE).

    Writes ``<split>/<variant>/*.png`` (truncated to uint8 as the originals save), ``images.csv`` for
    ``datamodule=tracer``, and ``tokens_<family>.npz``.

    Raises:
        ConfigError: neither or both of ``generate.weights`` and ``ckpt`` are given, or a count is negative.
    """
    options = run.config.generate
    out = run.out(options.out, "images")
    if (options.weights is None) == (run.ckpt is None):
        raise ConfigError(
            "task=generate needs one source of models", "Set either generate.weights=FOLDER or ckpt=FILE."
        )
    weights = Path(options.weights).expanduser() if options.weights else _exported(run, out / "weights")
    counts = {split: getattr(options, split) for split in ("train", "valid", "test")}
    for split, count in counts.items():
        if count < 0:
            raise ConfigError(f"generate.{split}={count} is negative", "Set 0 or more images per variant.")
    zoo = Zoo.of(weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table: list[tuple[str, str, str, int]] = []
    for family in zoo.tokenizers:
        tokenizer = zoo.tokenizer(family).to(device)
        ids: list[str] = []
        tokens: list[np.ndarray] = []
        for variant in zoo.family(family):
            model = zoo.model(variant).to(device)
            for split, count in counts.items():
                made = _generate(variant, model, tokenizer, count, run.config.seed, split, options.batch)
                for k, (pixels, one, label) in enumerate(made):
                    name = f"{split}/{variant.name}/{k:05d}.png"
                    _save(pixels, out / name)
                    ids.append(name)
                    tokens.append(one)
                    table.append((name, variant.name, split, label))
                print(f"{variant.name}: {counted(count, 'image')} for {split}")
        arrays = {"id": np.array(ids), "tokens": np.stack(tokens).astype(np.uint16)}
        write_npz(out / f"tokens_{family}.npz", arrays)
        size = tokenizer.image_size
    table += [(name, OUTLIER, split, -1) for split, name in _outliers(run, out, size, counts)]
    rows = ((*row[:3], None if row[3] < 0 else row[3]) for row in table)
    write_atomically(out / "images.csv", csv_text([HEADER, *rows]).encode())
    print(
        f"{counted(len(table), 'image')}: datamodule=tracer datamodule.path={out / 'images.csv'} (weights: {weights})"
    )


def _exported(run: Run, folder: Path) -> Path:
    """The models of a checkpoint of siblings, as a folder of weights."""
    assert run.ckpt is not None  # noqa: S101 - checked by the caller
    detector = load_detector(run, run.ckpt).detector
    if not isinstance(detector, SiblingsDetector):
        raise ConfigError(
            f"ckpt={run.ckpt} holds a {type(detector).__name__}, which cannot generate images",
            "Use a checkpoint of experiment=tracer_toy, or generate.weights=FOLDER.",
        )
    detector.export(folder)
    return folder


def _generate(
    variant: Variant, model: Any, tokenizer: Any, count: int, seed: int, split: str, batch: int
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Pixels [S, S, 3], tokens [L] and class of each image."""
    device = next(model.parameters()).device
    source = torch.Generator(device).manual_seed(random_key(seed, "generate", variant.name, split) % 2**62)
    for first in range(0, count, batch):
        labels = torch.arange(first, min(first + batch, count), device=device) % model.size.classes
        made = sample(model, tokenizer, labels, variant.sampling, source)
        for pixels, tokens, label in zip(made.images, made.tokens, labels.tolist(), strict=True):
            yield pixels.permute(1, 2, 0).cpu().numpy(), tokens.cpu().numpy(), label


def _outliers(run: Run, out: Path, size: int, counts: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Images of the data module, resized to the generators' size; as many per split as there are of each variant."""
    if not run.config.generate.outliers:
        return
    datamodule = run.datamodule()
    manifest, store = datamodule.manifest(), datamodule.store()
    for split, count in counts.items():
        rows = manifest.rows(split)
        chosen = generator(random_key(run.config.seed, "outliers", split)).permutation(rows)[:count]
        for k, row in enumerate(chosen.tolist()):
            data = store.read(row)
            pixels = data if isinstance(data, np.ndarray) else decode(data).permute(1, 2, 0).numpy()
            name = f"{split}/{OUTLIER}/{k:05d}.png"
            image = Image.fromarray(np.ascontiguousarray(pixels)).resize((size, size), Image.Resampling.LANCZOS)
            _save(np.asarray(image), out / name)
            yield split, name


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
