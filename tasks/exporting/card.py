"""The model card of an exported detector: what it is, what was measured, and what it must not be used for."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts.words import counted
from tasks.exporting.compared import TOLERANCE, Compared

SHOWN = ("auroc", "average_precision", "balanced_accuracy", "recall", "specificity", "ece")
"""Metrics in the card's table."""
TITLES = {"test": "test images", "validate": "validation images"}


def card(
    name: str, settings: Mapping[str, Any], measured: Compared, figures: tuple[str, Sequence[Mapping[str, Any]]] | None
) -> str:  # fmt: skip
    """The text of ``README.md``, with the front matter that the Hugging Face Hub reads.

    Args:
        name: title.
        settings: content of ``config.json``.
        measured: the comparison with the checkpoint.
        figures: the stage ("test" or "validate") and rows of ``metrics.json``, if there are some beside the checkpoint.
    """
    about = settings["export"]
    detector = str(settings["export"]["detector"])
    parts = [
        "---",
        f"license: {json.dumps(about['licence'])}",
        "library_name: pixelproof",
        "pipeline_tag: image-classification",
        "tags: [ai-generated-image-detection, image-forensics]",
        "---",
        "",
        f"# {name}",
        "",
        f"{detector}, a detector of AI-generated images: the probability that an image is generated.",
        "",
        *_use(about),
        *_data(settings),
        *_metrics(figures),
        *_threshold(settings.get("threshold")),
        *_calibration(settings.get("calibration")),
        *_export(about, measured),
        *_limits(settings, about),
    ]
    return "\n".join(parts) + "\n"


def _use(about: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Use", "", "```python", "from pixelproof import load", "",
        'print(load("FOLDER").score(["photo.jpg"])[["id", "score", "generated"]])', "```", "",
        "or `pixelproof task=predict ckpt=FOLDER datamodule=folder datamodule.path=photos`.", "",
    ]  # fmt: skip
    if about["format"] == "onnx":
        lines += [
            "`preprocess.py` scores an image with NumPy, Pillow and ONNX Runtime alone: `python preprocess.py "
            "photo.jpg`. The graph takes `images` [B, 3, H, W], RGB of 8 bits, and gives `logits` [B]; P(generated) is "
            "their sigmoid." + (" H and W are free." if about["side"] is None else f" H and W are {about['side']}."),
            "",
        ]
    if about["format"] == "torch_export":
        lines += [
            "`model.pt2` is read by `torch.export.load`, which may run code from a file: read only files you trust. "
            "`load` reads `model.safetensors` instead.",
            "",
        ]
    return lines


def _data(settings: Mapping[str, Any]) -> list[str]:
    seen = settings.get("seen_generators")
    if seen is None:
        return ["## Data", "", "The checkpoint does not record the data it was trained on.", ""]
    if settings["export"].get("trains_on") == "real":
        return ["## Data", "", "Trained on real images alone: it has seen no generator.", ""]
    text = f"Trained on real images and images of {counted(len(seen), 'generator')}: {', '.join(map(str, seen))}."
    return ["## Data", "", text if seen else "Trained on real images, or on images of unnamed generators.", ""]


def _metrics(figures: tuple[str, Sequence[Mapping[str, Any]]] | None) -> list[str]:
    if figures is None:
        return ["## Metrics", "", "There are no metrics beside the checkpoint; `task=test` writes them.", ""]
    stage, rows = figures
    lines = ["## Metrics", "", f"On {TITLES[stage]}, with 95 % intervals:", ""]
    lines += ["| metric | at threshold | value | interval | real | generated |", "|---|---|---:|---|---:|---:|"]
    for row in rows:
        if row.get("kind") == "pooled" and row["metric"] in SHOWN and row.get("value") is not None:
            interval = "" if row["low"] is None else f"{row['low']:.3f}–{row['high']:.3f}"
            at = f"{row['threshold']:.3f} ({row['at']})" if row.get("threshold") is not None else ""
            lines.append(
                f"| {row['metric']} | {at} | {row['value']:.3f} | {interval} | {row['real']} | {row['generated']} |"
            )
    return [*lines, ""]


def _threshold(threshold: Mapping[str, Any] | None) -> list[str]:
    if not threshold:
        return ["## Threshold", "", "None was chosen on validation images; 0.5 is used.", ""]
    rates = ""
    if threshold.get("tpr") is not None and threshold.get("fpr") is not None:
        true, false = threshold["tpr"], threshold["fpr"]
        rates = f" There the true-positive rate was {true:.3f} and the false-positive rate {false:.3f}."
    chosen = counted(threshold["images"], "validation image") if threshold.get("images") else "validation images"
    text = f"{threshold['value']:.6f} on P(generated), chosen on {chosen} by {threshold.get('rule', 'a rule')}."
    return ["## Threshold", "", text + rates, ""]


def _calibration(calibration: Mapping[str, Any] | None) -> list[str]:
    if calibration is None:
        return [
            "## Calibration",
            "",
            "Scores are not calibrated: 0.8 does not mean that 8 in 10 such images are generated.",
            "",
        ]
    text = f"By {calibration['method']}; `calibrated=true` applies it. A threshold is given for scores as they are."
    return ["## Calibration", "", text, ""]


def _export(about: Mapping[str, Any], measured: Compared) -> list[str]:
    lines = [
        "## Export", "",
        f"Format {about['format']}, precision {about['precision']}, from the checkpoint with SHA-256 "
        f"`{about['checkpoint_sha256']}`. `{about['weights']}` has SHA-256 `{about['sha256']}`.", "",
        f"Compared with the checkpoint on {counted(measured.images, 'image')} of {counted(measured.sizes, 'size')}"
        + (f" (`datamodule={about['datamodule']}`)" if about.get("datamodule") else "") + ":",
        "",
        f"* largest difference of a logit: {measured.logits:.2g}"
        + (f" (at most {TOLERANCE:g} is accepted)" if about["precision"] == "fp32" else "")
        + "; of logits above 1, in relation to them",
    ]  # fmt: skip
    if measured.pixels is not None:
        lines.append(f"* largest difference of a pixel of `preprocess.py`, in grey levels: {measured.pixels}")
    before, after = measured.bytes
    lines.append(f"* size: {after:,} bytes; the weights in 32 bits are {before:,} bytes")
    if measured.auroc is None:
        lines.append("* AUROC: not measured, since the images have no labels of both classes")
    else:
        lines.append(
            f"* AUROC on these images: {measured.auroc[1]:.4f} (checkpoint: {measured.auroc[0]:.4f}, "
            f"difference {measured.auroc[1] - measured.auroc[0]:+.4f})"
        )
    return [*lines, ""]


def _limits(settings: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    view = settings["detector"].get("eval_view")
    resized = isinstance(view, dict) and view.get("resize")
    return [
        "## Intended use and limits", "",
        "For research, and as one of several indications when an image is examined by a person. A score is not proof. "
        "Detectors fail on generators that they were not trained on, and after recompression, resizing or editing; "
        "real images are called generated, too. Measure both rates on images like yours before you rely on a score.",
        *([f"Images are resized to {resized} pixels, which removes fine traces of large images."] if resized else []),
        "",
        "## Licences", "",
        f"Weights: {about['licence']}. Code: PixelProof, Apache-2.0. Licences of training images and of pretrained "
        "weights that this detector started from may restrict its use.", "",
    ]  # fmt: skip


def experiment_of(checkpoint: Path) -> str:
    """The name of the experiment whose folder holds a checkpoint; "" for a checkpoint elsewhere."""
    stage = checkpoint.resolve().parent.parent
    return stage.parent.name if checkpoint.parent.name == "checkpoints" and stage.name.startswith("window_") else ""


def figures_beside(checkpoint: Path) -> tuple[str, list[dict[str, Any]]] | None:
    """Rows of ``metrics.json`` of the stage that a checkpoint belongs to: of test images, else of validation images."""
    file = checkpoint.parent.parent / "metrics.json"
    if checkpoint.parent.name != "checkpoints" or not file.is_file():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    return next(((stage, content[stage]) for stage in TITLES if content.get(stage)), None)
