"""Loading arguments that all data modules share; `datamodules.image_datamodule.ImageDataModule` explains each."""

from pathlib import Path
from typing import Literal, TypedDict

from contracts.pairs import Pairs
from datamodules.loading.decode import Backend

StartMethod = Literal["fork", "spawn", "forkserver"]
Align = Literal["jpeg", "size", "both"]


class FurtherLoading(TypedDict, total=False):
    """Every shared argument except ``batch_size``, for a data module with its own default batch size."""

    eval_batch_size: int | None
    num_workers: int
    seed: int
    decoder: Backend
    max_pixels: int
    max_failures: float
    prefetch: int
    start_method: StartMethod | None
    pair: Pairs | None
    align: Align | None
    align_cache: str | Path | None


class Loading(FurtherLoading, total=False):
    """Every shared argument."""

    batch_size: int
