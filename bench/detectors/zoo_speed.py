"""Published detectors: images/s of scores at the input size of each, from pixels in memory.

Weights are random, which changes neither the number of parameters nor the speed. Figures in docs/zoo.json for this
processor and the same command are kept, so a stopped run continues; the table of docs/zoo.md is rewritten after each
method.
"""

import time
from functools import partial
from typing import Any

import torch

from bench.parts.machine import machine
from bench.parts.npr import textured
from bench.parts.table import Row
from bench.parts.timing import interleaved, pick
from bench.parts.zoo import Facts, keep, kept, methods, rewrite, untrained
from contracts.batch import Batch
from datamodules.loading.parallel import cores


def measure() -> list[Row]:
    """Times the methods that have no figure for this processor; returns the rows of all."""
    torch.set_num_threads(cores())
    wanted = methods()
    if quick := pick(True, False):
        wanted = {"tiny_ladeda": wanted["tiny_ladeda"]}
    known = {} if quick else kept()
    if not quick:
        rewrite()  # notes and order may have changed
    rows = []
    for name, facts in wanted.items():
        size, count = facts.get("size", 256), facts.get("batch", 16)
        done = {"timed": facts["words"], "size": size, "batch": count, "cpu": machine()["cpu"]}
        if not done.items() <= known.get(name, {}).items():
            known[name] = done | timed(facts, textured(count, size))
            if not quick:
                keep(name, known[name])
        way = f"{name}, {size}², batch {count}"
        rows.append(Row("zoo_speed", way, None, known[name]["rate"], "images/s", None, None))
    return rows


@torch.inference_mode()
def timed(facts: Facts, batch: Batch) -> dict[str, Any]:
    """Number of parameters, number of trained ones, and images/s of the best repetition."""
    torch.manual_seed(0)
    detector = untrained(facts)
    if "weights" in facts:  # one call takes seconds, and building the detector has run its network before
        started = time.perf_counter()
        detector.score(batch)
        seconds = time.perf_counter() - started
    else:
        seconds = interleaved({"score": partial(detector.score, batch)}, pick(1, 3))["score"].best
    return {
        "parameters": sum(one.numel() for one in detector.parameters()),
        "trained": sum(one.numel() for one in detector.trainable()),
        "rate": len(batch.images) / seconds,
    }
