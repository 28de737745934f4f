"""A graph that ``task=export`` wrote, scored by ONNX Runtime like any other detector."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from contracts.batch import Batch
from contracts.errors import CheckpointError, ConfigError, DataError
from contracts.view import Sides, View
from detectors.base import Detector, Scores
from detectors.parts.slices import in_slices
from detectors.parts.weights import first_line

GRAPH = "graph"  # Name of the only tensor of such a checkpoint: the bytes of the ONNX file, [N] uint8


class OnnxDetector(Detector):
    """Scores images with an ONNX graph on the CPU.

    Args:
        eval_view: size policy of an evaluated image.
        outputs: names of the graph's outputs, the logits first.
        widths: number of columns of each output.
        least: smallest side of an image in pixels.

    Raises:
        ConfigError: onnxruntime is not installed.
    """

    def __init__(
        self, eval_view: View, outputs: Sequence[str] = ("logits",), widths: Sequence[int] = (1,), least: int = 1
    ) -> None:
        super().__init__(eval_view, eval_view)
        onnxruntime()
        self.outputs, self.widths, self.least = tuple(outputs), list(widths), least
        self.net = nn.Module()
        self.net.register_buffer(GRAPH, torch.empty(0, dtype=torch.uint8))
        self._session: Any = None

    def on_load_weights(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Start a session with the graph.

        Raises:
            CheckpointError: it is no graph that ONNX Runtime can run.
        """
        if state.keys() != {GRAPH}:
            raise CheckpointError("it contains weights instead of an ONNX graph", "Give the exported folder.")
        self._session = session(state[GRAPH].numpy().tobytes())
        self.net.register_buffer(GRAPH, torch.empty_like(state[GRAPH]))
        return state

    def sides(self) -> Sides:
        """As the detector that was exported."""
        return Sides(self.least)

    def loss(self, batch: Batch) -> Tensor:  # noqa: ARG002 - the contract's signature
        """A graph cannot be trained.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("an ONNX graph cannot be trained", "Train from the checkpoint that it was exported from.")

    def score(self, batch: Batch) -> Scores:
        """One logit per crop, and the exported detector's other outputs as extras.

        Raises:
            DataError: the images are not 8-bit ones, which is all that a graph takes.
        """
        if batch.images.dtype != torch.uint8:
            raise DataError(
                "the exported graph takes 8-bit images, and the benchmark's degradation gives floats",
                "Score with the checkpoint that it was exported from.",
            )
        columns = in_slices(self._run, batch.images.cpu(), fours=True)
        parts = dict(zip(self.outputs, torch.split(columns, self.widths, dim=1), strict=True))
        logits = parts.pop(self.outputs[0]).squeeze(1)
        return Scores(logits, {name: part.squeeze(1) if part.shape[1] == 1 else part for name, part in parts.items()})

    def _run(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] uint8 → all outputs side by side, [B, sum of widths]."""
        found = self._session.run(None, {self._session.get_inputs()[0].name: images.contiguous().numpy()})
        return torch.cat([torch.from_numpy(one).reshape(len(images), -1) for one in found], dim=1)


def session(graph: bytes) -> Any:
    """An ONNX Runtime session on the CPU, with as many threads as torch has.

    Raises:
        CheckpointError: the bytes are no graph that it can run.
    """
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CheckpointError(f"ONNX Runtime cannot run the graph: {first_line(error)}", "Export it again.") from error


def onnxruntime() -> Any:
    """The module ``onnxruntime``.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import onnxruntime as found
    except ImportError as error:
        raise ConfigError("an ONNX graph needs onnxruntime", "Install it: pip install 'pixelproof[onnx]'.") from error
    return found
