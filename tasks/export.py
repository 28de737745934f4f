"""``task=export``: a checkpoint as a folder of weights, plain configuration and model card; as ONNX or torch.export."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from benchmarks.calibration.stored import stored
from callbacks.passport import FORMAT
from conf.build import build_for_scoring, without_training
from contracts.errors import ConfigError, DataError
from contracts.files import sync, write_atomically
from contracts.names import EXPORTED
from contracts.view import View
from detectors.parts.weights import load_weights
from tasks.experiment.run import Run
from tasks.exporting import graphs, preprocess
from tasks.exporting.card import card, experiment_of, figures_beside
from tasks.exporting.compared import TOLERANCE, Compared, chosen, compared, score_of, seen
from tasks.scoring.evaluate import Loaded, load_detector, versions

FILES = {"safetensors": "model.safetensors", "onnx": "model.onnx", "torch_export": "model.safetensors"}
"""The file that `load` reads, by format."""
EVALUATED = ("resize", "crop", "fill", "crops", "least", "interpolation")
"""Attributes of a view that an evaluated image depends on."""


def export(run: Run) -> None:
    """Writes a checkpoint's weights with a plain configuration and a model card, and compares them with the checkpoint.

    The folder is read by `pixelproof.load` and ``task=predict ckpt=FOLDER``. Adapters and split matrices are merged
    into plain layers, and a probe's backbone is included.

    Raises:
        ConfigError: no checkpoint is given, the output exists, or the detector cannot be exported in this format.
        DataError: the export gives other scores than the checkpoint.
    """
    if run.ckpt is None:
        raise ConfigError("task=export needs the checkpoint to export", "Give ckpt=FILE.")
    options = run.config.export
    _refuse_options(options)
    kind, ending = options.format, "" if options.precision == "fp32" else f"-{options.precision}"
    out = Path(options.out).expanduser() if options.out else run.ckpt.with_name(f"{run.ckpt.stem}-{kind}{ending}")
    if out.exists():
        raise ConfigError(f"export.out={out} exists already", "Name another folder.")
    loaded = load_detector(run, run.ckpt)
    if out.suffix == ".safetensors":
        _write_weights_alone(out, loaded)
        return
    detector = loaded.detector.eval()
    if kind != "safetensors":
        graphs.refuse_without_graph(detector, detector.eval_view)
    datamodule = run.datamodule()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as made:
        folder = Path(made) / out.name
        folder.mkdir()
        measured = _write(folder, run, loaded, datamodule)
        for file in folder.iterdir():
            sync(file)
        folder.rename(out)
    sync(out.parent)
    area = "" if measured.auroc is None else f"; AUROC {measured.auroc[1]:.4f}, checkpoint {measured.auroc[0]:.4f}"
    print(f"{measured.images} images compared: logits differ by at most {measured.logits:.2g}{area}")
    print(f"{out}: {measured.bytes[1]:,} bytes; it is read by ckpt={out}, and README.md is its model card")


def _refuse_options(options: Any) -> None:
    if options.precision == "int8" and options.format != "onnx":
        raise ConfigError(f"export.precision=int8 with export.format={options.format}", "Choose export.format=onnx.")
    if options.precision == "fp16" and options.format == "torch_export":
        raise ConfigError(
            "export.precision=fp16 with export.format=torch_export", "Choose export.format=onnx or safetensors."
        )
    if options.images < 1:
        raise ConfigError(f"export.images={options.images}", "Give the number of images to compare on, such as 100.")
    plain = (options.format, options.precision) == ("safetensors", "fp32")
    if Path(options.out or "").suffix == ".safetensors" and not plain:
        raise ConfigError(
            f"export.out={options.out} with export.format={options.format} and export.precision={options.precision}",
            "Name a folder.",
        )


def _write(folder: Path, run: Run, loaded: Loaded, datamodule: Any) -> Compared:
    """Writes the files of the folder; returns what was measured with them.

    Raises:
        DataError: the weights in 32 bits give other scores than the checkpoint's.
    """
    options, detector = run.config.export, loaded.detector
    rows, ranges = chosen(datamodule, options.images)
    state = {name: value.detach().cpu().contiguous().clone() for name, value in detector.merged().items()}
    whole = sum(value.numel() * value.element_size() for value in state.values())
    node = without_training(detector.exported(dict(loaded.node)))
    program = None
    if options.format == "onnx":
        node, content = _onnx(detector, options.precision, datamodule, ranges)
        (folder / "preprocess.py").write_bytes(Path(preprocess.__file__).read_bytes())
    else:
        if options.precision == "fp16":
            state = {k: _half(v, k) if v.is_floating_point() and v.numel() >= 64 else v for k, v in state.items()}
        content = save(state)
        if options.format == "torch_export":
            program = graphs.program(detector, detector.eval_view, detector.sides().least)
            (folder / "model.pt2").write_bytes(graphs.program_bytes(program))
    (folder / FILES[options.format]).write_bytes(content)
    settings = _settings(run, loaded, node, sha256(content).hexdigest())
    (folder / EXPORTED).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    again = build_for_scoring(node, from_checkpoint=True)
    load_weights(again, folder)
    calibration = (
        _calibration(loaded, replace(loaded, detector=again, node=node)) if options.precision == "fp32" else None
    )
    if calibration is not None:
        settings["calibration"] = calibration
    theirs: Callable[[Tensor], Tensor] = score_of(again.eval())
    if program is not None:
        theirs = graphs.logits_of(program)
    reference = node["eval_view"] if options.format == "onnx" else None
    found = compared(detector, theirs, datamodule, rows, (whole, len(content)), reference)
    if options.precision == "fp32" and not found.logits <= TOLERANCE:
        raise DataError(
            f"the export's logits differ from the checkpoint's by {found.logits:.2g}, more than {TOLERANCE:g}; "
            "nothing was written",
            "Choose another export.format.",
        )
    settings["export"]["compared"] = found.as_json()
    (folder / EXPORTED).write_text(json.dumps(settings, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    text = card(
        run.config.experiment_id or experiment_of(loaded.path) or loaded.path.stem,
        settings,
        found,
        figures_beside(loaded.path),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    return found


def _onnx(detector: Any, precision: str, datamodule: Any, ranges: Any) -> tuple[dict[str, Any], bytes]:
    """The node that reads the graph, and the graph."""
    view, least = detector.eval_view, detector.sides().least
    graph = graphs.onnx_graph(graphs.program(detector, view, least), detector.graph_outputs)
    if precision == "fp16":
        graph = graphs.halved(graph)
    if precision == "int8":
        batches = [crops[:1].numpy() for _, _, crops in seen(datamodule, ranges, view, least)]
        graph = graphs.quantised(graph, batches)
    side = view.square or max(least, 8)
    with torch.inference_mode():
        found = graphs.Graph(detector)(torch.zeros(2, 3, side, side, dtype=torch.uint8))
    outputs = (found,) if isinstance(found, Tensor) else found
    return {
        "_target_": "detectors.exported.onnx_detector.OnnxDetector",
        "eval_view": _view(view),
        "outputs": list(detector.graph_outputs),
        "widths": [1 if one.ndim == 1 else one.shape[1] for one in outputs],
        "least": least,
    }, graph


def _view(view: View) -> dict[str, Any]:
    """A view's size policy in plain containers, without defaults."""
    values, defaults = asdict(view), {field.name: field.default for field in fields(View)}
    return {
        "_target_": "contracts.view.View",
        **{name: values[name] for name in EVALUATED if values[name] != defaults[name]},
    }


def _half(value: Tensor, name: str) -> Tensor:
    return torch.from_numpy(graphs.as_half(value.float().numpy(), name))


def _settings(run: Run, loaded: Loaded, node: dict[str, Any], digest: str) -> dict[str, Any]:
    """The content of ``config.json``: a passport, and where the weights come from."""
    options = run.config.export
    extra: dict[str, Any] = {}
    loaded.detector.on_save_checkpoint(extra)
    kept = {key: value for key, value in loaded.about.items() if key not in ("format", "detector", "calibration")}
    backbone = {"backbone": extra["backbone"]} if "backbone" in extra and options.format != "onnx" else {}
    return {
        "versions": versions(),
        **kept,
        **backbone,
        "format": FORMAT,
        "detector": node,
        "export": {
            "format": options.format,
            "precision": options.precision,
            "weights": FILES[options.format],
            "sha256": digest,
            "checkpoint_sha256": loaded.sha256,
            "detector": type(loaded.detector).__name__,
            "trains_on": loaded.detector.trains_on,
            "side": loaded.detector.eval_view.square,
            "licence": options.licence,
            "datamodule": run.composed.choices.get("datamodule"),
        },
    }


def _calibration(loaded: Loaded, exported: Loaded) -> dict[str, Any] | None:
    """The checkpoint's calibration, for the weights and options of the export; None without one for this detector."""
    content = loaded.about.get("calibration")
    if content is None:
        return None
    found = stored(content)
    if (found.weights, found.detector) != (loaded.weights, loaded.options):
        return None
    return replace(found, weights=exported.weights, detector=exported.options).plain()


def _write_weights_alone(out: Path, loaded: Loaded) -> None:
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in loaded.detector.merged().items()}
    about = {"detector": json.dumps(loaded.about.get("detector")), "threshold": json.dumps(loaded.threshold)}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, save(tensors, metadata=about))
    print(f"{out}: {len(tensors)} tensors; it is read by ckpt={out} with the same detector and detector.tune=all")
