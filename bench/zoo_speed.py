"""Published detectors: images/s of scores at the size that each takes, from pixels in memory.

Weights are random, which changes neither parameters nor speed. What docs/zoo.json holds of this processor and of the
same words is kept, so that a run that was stopped continues; the table of docs/zoo.md is rewritten after each method.
"""

from functools import partial
from typing import Any

import torch

from bench.parts.machine import machine
from bench.parts.npr import textured
from bench.parts.table import Row
from bench.parts.timing import interleaved, pick
from bench.parts.zoo import Facts, keep, kept, methods, rewrite, untrained
from datamodules.loading.parallel import cores


def measure() -> list[Row]:
    """Time what is not done yet on this processor; all that is done."""
    torch.set_num_threads(cores())
    wanted = methods()
    if quick := pick(True, False):
        wanted = {"tiny_ladeda": wanted["tiny_ladeda"]}
    known = {} if quick else kept()
    if not quick:
        rewrite()  # notes and order may have changed
    rows = []
    for name, facts in wanted.items():
        done = {"timed": facts["words"], "cpu": machine()["cpu"]}
        if not done.items() <= known.get(name, {}).items():
            known[name] = done | timed(facts)
            if not quick:
                keep(name, known[name])
        way = f"{name}, {facts.get('size', 256)}², batch {facts.get('batch', 16)}"
        rows.append(Row("zoo_speed", way, None, known[name]["rate"], "images/s", None, None))
    return rows


@torch.inference_mode()
def timed(facts: Facts) -> dict[str, Any]:
    """Parameters, those trained, and images/s of the best repetition."""
    torch.manual_seed(0)
    detector = untrained(facts)
    batch = textured(count := facts.get("batch", 16), facts.get("size", 256))
    timing = interleaved({"score": partial(detector.score, batch)}, pick(1, 1 if "weights" in facts else 3))["score"]
    return {
        "parameters": sum(one.numel() for one in detector.parameters()),
        "trained": sum(one.numel() for one in detector.trainable()),
        "rate": count / timing.best,
    }
