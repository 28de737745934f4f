"""Numerical precision: equal to the originals where requested, and float32 for every score."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def reference_arithmetic(device_type: str) -> Iterator[None]:
    """Float32 without autocast, TF32 or cuDNN, as in the NPR authors' tests."""
    with torch.autocast(device_type, enabled=False), torch.backends.cudnn.flags(enabled=False, allow_tf32=False):
        yield


@contextmanager
def tf32_only_if_allowed() -> Iterator[None]:
    """TF32 convolutions only where ``torch.set_float32_matmul_precision`` allows TF32 at all.

    By default PyTorch rounds the inputs of float32 convolutions to 10-bit mantissas on recent GPUs, which changes
    scores by about 1e-3. That speed (or bf16-mixed) must be chosen explicitly.
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


def in_fours(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``layer(x)`` [B, …] of x [B, …]; in evaluation on a CPU, B is padded to a multiple of four.

    Matrix products on a CPU sum the last one to three rows in another order than the others. Without padding, equal
    images would get scores that differ in the last bit, and an AUROC other than one half. An exported graph has no such
    branch: its number of images is not known when it is made.
    """
    if torch.compiler.is_exporting():
        return layer(x)
    missing = -len(x) % 4
    if not missing or not len(x) or x.device.type != "cpu" or torch.is_grad_enabled():
        return layer(x)
    return layer(torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]))[: len(x)]


def row_by_row(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``layer(x)`` of a linear layer; in evaluation on a CPU, of one row at a time.

    MKL chooses the order of sums of small products by the number of rows and by a row's place among them, on every
    processor in its own way. Rows are copied, so that all are aligned alike.
    """
    if torch.compiler.is_compiling() or not len(x) or x.device.type != "cpu" or torch.is_grad_enabled():
        return layer(x)
    return torch.cat([layer(row.clone()) for row in torch.split(x, 1)])


def linear_float32(x: Tensor, layer: nn.Linear) -> Tensor:
    """A linear layer in float32, even under autocast or with bfloat16 weights, so that scores keep all their bits."""
    return row_by_row(lambda rows: many_float32(rows, layer), x)


def many_float32(x: Tensor, layer: nn.Linear) -> Tensor:
    """`linear_float32` of the many positions of a map, whose equal rows may differ in the last bit."""
    with torch.autocast(x.device.type, enabled=False):
        bias = None if layer.bias is None else layer.bias.float()
        return F.linear(x.float(), layer.weight.float(), bias)
