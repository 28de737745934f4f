"""NPR training step: batch 32 of 224², forward, backward and Adam, against plain eager float32.

The baseline receives normalised images; ours receives uint8 and normalises them within the step.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.parts.npr import plain_residual_features, textured
from bench.parts.steps import compared, ours, step
from bench.parts.table import Row
from bench.parts.timing import pick
from contracts.view import View
from datamodules.loading.parallel import cores
from detectors.npr.detector import NPR
from detectors.npr.net import NPRNet
from detectors.parts.normalise import normalise

SIZE = 224
BATCH = 32
LR = 2e-4
TARGETS = {
    "default": 1.8,
    "precision=bf16-mixed": 4.0,
    "compile=true": None,
    "compile=true, precision=bf16-mixed": None,
}


def measure() -> list[Row]:
    """Measures images/s of a step with the default, in bf16, and compiled."""
    torch.set_num_threads(cores())
    count = pick(4, BATCH)
    batch = textured(count, SIZE)
    torch.manual_seed(0)
    plain = NPRNet(exact=True).train()
    state = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    images = normalise(batch.images).contiguous()

    def loss() -> Tensor:
        logits = plain.fc1(plain_residual_features(plain, images)).squeeze(1)
        return F.binary_cross_entropy_with_logits(logits, batch.label.float())

    ways = {"plain": step(loss, torch.optim.Adam(plain.parameters(), LR))}
    for name in TARGETS:
        if "compile" not in name or pick(False, True):  # compiling takes minutes
            ways[name] = ours(_detector("compile" in name), state, batch, "bf16" in name)
    return compared("npr_training", f"{SIZE}², batch {count}", count, ways, TARGETS, 1e-3)


def _detector(compiled: bool) -> NPR:
    view = View(resize=256, crop=SIZE)
    return NPR(view, view, compile=compiled, optimizer=partial(torch.optim.Adam, lr=LR))
