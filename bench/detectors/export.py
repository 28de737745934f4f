"""Exported graphs in ONNX Runtime against our own scores of the same checkpoint, batch 8, on a CPU.

Both ways take the same uint8 images and use as many threads. The preprocessing outside the graph is the same for both.
"""

import numpy as np
import torch

from bench.parts.npr import textured
from bench.parts.table import Row, rate
from bench.parts.timing import interleaved, pick
from conf.build import build
from conf.compose import compose
from contracts.batch import Batch
from datamodules.loading.parallel import cores
from detectors.base import Detector
from detectors.exported.onnx_detector import session
from detectors.parts.slices import in_slices
from tasks.exporting.compared import TOLERANCE
from tasks.exporting.graphs import IMAGES, onnx_graph, program

NAMES = ("npr", "npr_multiscale", "safe", "ferretnet", "ladeda", "tiny_ladeda", "freqnet")
FURTHER = {
    "classifier, timm/resnet18": "detector=classifier detector.pretrained=false",
    "zed, heads": "detector=zed",
}
SIZE = 256
TARGET = 0.9


def measure() -> list[Row]:
    """Measures images/s of every detector that has a graph."""
    torch.set_num_threads(cores())
    ways = {name: f"detector={name}" for name in NAMES} | FURTHER
    return [_compared(name, words) for name, words in ways.items()]


@torch.inference_mode()
def _compared(name: str, words: str) -> Row:
    """The row of one detector; the baseline is `Detector.score`.

    Raises:
        AssertionError: the logits differ by more than ``task=export`` accepts.
    """
    with torch.inference_mode(False):
        torch.manual_seed(0)
        detector: Detector = build(compose([*words.split(), "datamodule=sample"]).resolved["detector"]).eval()
        traced = program(detector, detector.eval_view, detector.sides().least)
        graph = session(onnx_graph(traced, detector.graph_outputs))
    detector.configure_model()
    side = detector.eval_view.square or SIZE
    batch = textured(count := pick(2, 2 if name.startswith("zed") else 8), side)

    def exported(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(graph.run(None, {IMAGES: images.numpy()})[0])

    def theirs() -> torch.Tensor:
        return in_slices(exported, batch.images, fours=True)

    ours, found = _logits(detector, batch), theirs()
    error = float(np.abs((ours - found).numpy() / np.maximum(1, ours.abs().numpy())).max())
    if error > TOLERANCE:
        raise AssertionError(f"{name}: logits differ by {error:.1e}, more than {TOLERANCE}")
    timings = interleaved({"torch": lambda: _logits(detector, batch), "onnx": theirs})
    note = f"baseline: the checkpoint in torch; logits differ by at most {error:.1e}"
    return rate("export", f"{name}, {side}², batch {count}", timings["torch"], timings["onnx"], count, TARGET, note)


def _logits(detector: Detector, batch: Batch) -> torch.Tensor:
    return detector.score(batch).logits
