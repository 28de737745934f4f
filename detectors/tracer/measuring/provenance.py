"""Whether a family made the image: two losses of an inverse decoder, and their product.

Source: Zhao et al., "Data Provenance for Image Auto-Regressive Generation" (2026): QuantLoss (equation 4), EncLoss
(equation 8), score (equation 9); the released code's constants. With the tokenizer's own encoder the same ratio is the
AEDR baseline, and ``reconstruction`` the plain reconstruction baseline.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from detectors.tracer.models.quantise import Method, quantise
from detectors.tracer.models.rar_vqgan import RarVqgan
from detectors.tracer.models.var_vqvae import VarVqvae

EPSILON = 1e-10


@dataclass(frozen=True)
class ProvenanceSignals:
    """Per image, float32; lower means "made by this family"."""

    quant_loss: Tensor  # [B] mean square between features and their quantised version
    enc_loss: Tensor  # [B] first decode-encode error over the second one
    score: Tensor  # [B] product of the two
    reconstruction: Tensor | None  # [B] mean square between the image and the decoded tokens; None unless requested
    uncalibrated: Tensor  # [B] numerator of ``enc_loss``
    denominator: Tensor  # [B] denominator of ``enc_loss``
    tokens: Tensor  # int64 [B, L]


def mean_square(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of each image, float32 [B]."""
    return (a.float() - b.float()).square().flatten(1).mean(1)


@torch.no_grad()
def provenance_signals(
    tokenizer: VarVqvae | RarVqgan,
    x: Tensor,
    *,
    method: Method = "greedy",
    steps: int = 200,
    reconstruct: bool = True,
) -> ProvenanceSignals:
    """All signals from two encodings and two decodings, and one more for ``reconstruction``.

    Args:
        tokenizer: With its own encoder or the inverse decoder.
        x: Images [B, 3, S, S] in the tokenizer's own range (see :func:`detectors.tracer.models.tokenizer.from_unit`).
        method: Quantiser of VAR's features; the paper's is ``soft``.
        steps: Updates per stage of ``soft``.
        reconstruct: Whether to compute the plain reconstruction baseline.
    """
    f = tokenizer.encode(x)
    with torch.enable_grad():
        tokens, f_z = quantise(tokenizer, f, method, steps=steps)
    once = tokenizer.decode(f)
    twice = tokenizer.decode(tokenizer.encode(once))
    uncalibrated, denominator = mean_square(once, x), mean_square(twice, once)
    quant_loss = mean_square(f, f_z)
    enc_loss = (uncalibrated + EPSILON) / (denominator + EPSILON)
    return ProvenanceSignals(
        quant_loss=quant_loss,
        enc_loss=enc_loss,
        score=quant_loss * enc_loss,
        reconstruction=mean_square(tokenizer.decode(f_z), x) if reconstruct else None,
        uncalibrated=uncalibrated,
        denominator=denominator,
        tokens=tokens,
    )
