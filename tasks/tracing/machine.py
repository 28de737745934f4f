"""The devices of a trace, and the computation of a step: missing images in blocks, shared among the devices."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from tqdm import tqdm

from contracts.words import counted
from tasks.tracing.cache import BlockCache

Arrays = dict[str, NDArray[Any]]
USED = ("accelerator", "devices", "num_nodes", "strategy", "precision")
"""Arguments of the trainer that set the devices and the precision."""


class Machine:
    """The devices set by the trainer; with several, each runs this program on its share of the blocks.

    Args:
        trainer: the trainer's node of the configuration.
        batch: images per pass.
        block: images per cached file.
    """

    def __init__(self, trainer: Mapping[str, Any], batch: int, block: int) -> None:
        self._fabric = Fabric(**{name: trainer[name] for name in USED if name in trainer})
        self._fabric.launch()
        self.batch = batch
        self.block = block

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return self._fabric.device

    @property
    def first(self) -> bool:
        """Whether this process prints and writes the results."""
        return self._fabric.global_rank == 0

    @property
    def precision(self) -> str:
        """Numerical precision, which is part of the key of cached results."""
        return str(self._fabric._precision.precision)

    def autocast(self) -> AbstractContextManager[Any]:
        """Context that applies the trainer's precision."""
        return self._fabric.autocast()

    def wait(self) -> None:
        """Waits for all processes."""
        self._fabric.barrier()

    def work(
        self,
        name: str,
        cache: BlockCache,
        keys: Sequence[str],
        begin: Callable[[], Callable[[NDArray[np.int64]], Arrays]],
    ) -> None:
        """Computes the results of a step that are not in its cache yet.

        Args:
            name: name of the step, for the progress bar.
            cache: cache of the step; its blocks are complete, so a killed step resumes after the last one.
            keys: [N] keys of all images; equal keys are computed once.
            begin: loads the step's model if a result is missing; returns a function from positions to arrays.
        """
        self.wait()
        known = cache.known()
        place = {key: position for position, key in reversed(list(enumerate(keys))) if key not in known}
        missing = np.array(sorted(place.values()), dtype=np.int64)
        world = self._fabric.world_size
        size = max(1, min(self.block, -(-len(missing) // world)))
        mine = [missing[i : i + size] for i in range(0, len(missing), size)][self._fabric.global_rank :: world]
        self.wait()  # otherwise a process could count a block as known that another has just written
        started = time.perf_counter()
        if mine:
            compute = begin()
            total = sum(map(len, mine))
            with tqdm(total=total, desc=name, unit="img", disable=not self.first, file=sys.stderr) as bar:
                for rows in mine:
                    parts = []
                    for i in range(0, len(rows), self.batch):
                        parts.append(compute(rows[i : i + self.batch]))
                        bar.update(len(rows[i : i + self.batch]))
                    arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
                    cache.write([keys[row] for row in rows.tolist()], arrays)
        self.wait()
        if self.first:
            seconds = time.perf_counter() - started
            rate = f", {len(missing) / seconds:.1f} images/s" if len(missing) else ""
            print(
                f"{name}: {counted(len(missing), 'image')} in {seconds:.1f} s{rate}; "
                f"{len(keys) - len(missing)} from the cache"
            )
