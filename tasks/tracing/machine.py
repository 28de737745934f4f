"""Where the passes run, and how a step is worked off: missing images in blocks, blocks shared out over the devices."""

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

from tasks.tracing.cache import BlockCache

Arrays = dict[str, NDArray[Any]]
USED = ("accelerator", "devices", "num_nodes", "strategy", "precision")
"""Arguments of the trainer that say where and how numbers are computed."""


class Machine:
    """The devices the trainer's settings name; with several, each runs this program and takes its share of blocks.

    Args:
        trainer: the trainer's node of the configuration.
        batch: images a pass.
        block: images a cached file.
    """

    def __init__(self, trainer: Mapping[str, Any], batch: int, block: int) -> None:
        self._fabric = Fabric(**{name: trainer[name] for name in USED if name in trainer})
        self._fabric.launch()
        self.batch = batch
        self.block = block

    @property
    def device(self) -> torch.device:
        """This process's."""
        return self._fabric.device

    @property
    def first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self._fabric.global_rank == 0

    @property
    def precision(self) -> str:
        """Of the blocks, for the names of cached results."""
        return str(self._fabric._precision.precision)

    def autocast(self) -> AbstractContextManager[Any]:
        """The trainer's precision."""
        return self._fabric.autocast()

    def wait(self) -> None:
        """For all processes."""
        self._fabric.barrier()

    def work(
        self,
        name: str,
        cache: BlockCache,
        keys: Sequence[str],
        begin: Callable[[], Callable[[NDArray[np.int64]], Arrays]],
    ) -> None:
        """Bring every image's result of a step into its cache.

        Args:
            name: of the step, for the progress shown.
            cache: of the step; blocks in it are complete, so a killed step goes on behind the last one.
            keys: [N] of all images; equal keys are computed once.
            begin: loads the step's model if anything is missing; gives a function from positions to arrays.
        """
        self.wait()
        known = cache.known()
        place = {key: position for position, key in reversed(list(enumerate(keys))) if key not in known}
        missing = np.array(sorted(place.values()), dtype=np.int64)
        world = self._fabric.world_size
        size = max(1, min(self.block, -(-len(missing) // world)))
        mine = [missing[i : i + size] for i in range(0, len(missing), size)][self._fabric.global_rank :: world]
        self.wait()  # so that nobody counts a block as known that another has just written
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
            print(f"{name}: {len(missing)} images in {seconds:.1f} s{rate}; {len(keys) - len(missing)} from the cache")
