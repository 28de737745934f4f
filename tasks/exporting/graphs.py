"""A detector as a graph of operators: ``torch.export`` and ONNX, with weights of 32, 16 or 8 bits."""

import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contracts.errors import ConfigError, DataError
from contracts.view import View
from detectors.base import Detector

IMAGES = "images"
"""Name of the graph's only input, [B, 3, H, W] uint8."""
LARGEST = (1 << 31) - 1
"""Bytes of the largest ONNX file: a limit of its format."""


class Graph(nn.Module):
    """A detector as a function of images alone.

    Args:
        detector: one whose `graph_outputs` are named.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Images [B, 3, H, W] uint8 → logits [B], or logits and further outputs."""
        found = self.detector(images)
        return found if isinstance(found, Tensor) else tuple(found)


def refuse_without_graph(detector: Detector, view: View) -> None:
    """Checks that a detector can be written as a graph.

    Raises:
        ConfigError: it cannot, with the reason.
    """
    name, step = type(detector).__name__, "Choose export.format=safetensors."
    if not detector.graph_outputs:
        raise ConfigError(f"{name} cannot be exported as a graph: {detector.no_graph}", step)
    if view.augment:
        raise ConfigError(f"{name} has detector.eval_view.augment, which a graph cannot contain", step)


def program(detector: Detector, view: View, least: int) -> Any:
    """The detector traced by ``torch.export`` for any number of images, and any size if its view keeps the native one.

    Raises:
        ConfigError: torch cannot trace it.
    """
    side = view.square
    height, width = (side, side) if side else (max(least, 66), max(least, 70))
    free = {0: torch.export.Dim.DYNAMIC} | ({} if side else dict.fromkeys((2, 3), torch.export.Dim.DYNAMIC))
    example = torch.zeros(4, 3, height, width, dtype=torch.uint8)
    graph = Graph(detector).eval()
    try:
        with torch.no_grad(), _quiet():
            graph(example)  # detectors compute the constants they keep now, so that the trace holds them as numbers
            return torch.export.export(graph, (example,), dynamic_shapes={"images": free}, strict=False)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        text = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(
            f"torch.export cannot trace {type(detector).__name__}: {text}", "Choose export.format=safetensors."
        ) from error


def logits_of(traced: Any) -> Callable[[Tensor], Tensor]:
    """A traced program as a function of images [B, 3, H, W] uint8 → logits [B]."""
    module = traced.module()

    def logits(images: Tensor) -> Tensor:
        found = module(images)
        return found if isinstance(found, Tensor) else found[0]

    return logits


def onnx_graph(traced: Any, outputs: Sequence[str]) -> bytes:
    """A traced program as an ONNX file.

    Raises:
        ConfigError: the packages for it are not installed, or the file would be larger than its format allows.
    """
    try:
        import onnxscript  # noqa: F401 - what torch.onnx needs
    except ImportError as error:
        raise ConfigError(
            "export.format=onnx needs onnx and onnxscript", "Install them: pip install 'pixelproof[onnx]'."
        ) from error
    size = sum(value.numel() * value.element_size() for value in traced.state_dict.values())
    if size > LARGEST:
        raise ConfigError(
            f"{size:,} bytes of weights do not fit into an ONNX file", "Choose export.format=safetensors."
        )
    with torch.no_grad(), _quiet():
        made = torch.onnx.export(traced, (), dynamo=True, verbose=False, input_names=[IMAGES], output_names=[*outputs])
    if made is None:
        raise ConfigError("torch.onnx.export returned no graph", "Choose export.format=safetensors.")
    return bytes(made.model_proto.SerializeToString())


def program_bytes(traced: Any) -> bytes:
    """A traced program as ``torch.export.save`` writes it."""
    buffer = io.BytesIO()
    torch.export.save(traced, buffer)
    return buffer.getvalue()


def halved(graph: bytes) -> bytes:
    """The same graph with its weights stored in 16 bits; they are cast back when it is loaded.

    Raises:
        DataError: a weight is too large for 16 bits.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(graph)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 64:
            continue
        values = as_half(numpy_helper.to_array(tensor), tensor.name)
        name, small = tensor.name, f"{tensor.name}_fp16"
        tensor.CopyFrom(numpy_helper.from_array(values, small))
        casts.append(helper.make_node("Cast", [small], [name], to=TensorProto.FLOAT))
    kept = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *kept])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def as_half(values: NDArray[Any], name: str) -> NDArray[np.float16]:
    """Float32 values in 16 bits.

    Raises:
        DataError: one is too large.
    """
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise DataError(f"{name} has values that 16 bits cannot hold", "Choose export.precision=fp32.")
    return half


def quantised(graph: bytes, batches: Sequence[NDArray[np.uint8]]) -> bytes:
    """The same graph with convolutions and matrix products in 8 bits, whose ranges are those of some images.

    Args:
        graph: of float32.
        batches: images [1, 3, H, W] that ranges of activations are measured on.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # published without types
        def __init__(self) -> None:
            self.left: Iterator[NDArray[np.uint8]] = iter(batches)

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            batch = next(self.left, None)
            return None if batch is None else {IMAGES: batch}

    with tempfile.TemporaryDirectory() as folder, _quiet():
        given, ready, made = (Path(folder) / name for name in ("given.onnx", "ready.onnx", "made.onnx"))
        given.write_bytes(graph)
        quant_pre_process(given, ready, skip_symbolic_shape=True)
        quantize_static(
            ready, made, Reader(), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8, op_types_to_quantize=["Conv", "MatMul", "Gemm"],
        )  # fmt: skip
        return made.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides the exporters' warnings about their own deprecations, which users cannot act on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
