"""Which float32 arithmetic convolutions use: bit-true to the originals, or the fast one the user asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reference_arithmetic(device_type: str) -> Iterator[None]:
    """Float32 throughout: no autocast, no TF32, and no cuDNN, as the NPR authors run their tests.

    Args:
        device_type: "cpu" or "cuda".
    """
    with torch.autocast(device_type, enabled=False), torch.backends.cudnn.flags(enabled=False, allow_tf32=False):
        yield


@contextmanager
def float32_unless_asked() -> Iterator[None]:
    """TF32 convolutions only where ``torch.set_float32_matmul_precision`` allows TF32 at all.

    PyTorch rounds the inputs of float32 convolutions to 10-bit mantissas on recent GPUs by default, which moves scores
    by about 1e-3; whoever wants that speed asks for it (or for bf16-mixed).
    """
    cudnn = torch.backends.cudnn
    with cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        benchmark_limit=cudnn.benchmark_limit,
        deterministic=cudnn.deterministic,
        allow_tf32=torch.get_float32_matmul_precision() != "highest",
    ):
        yield
