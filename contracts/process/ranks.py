"""Lightning's function for messages of rank 0 only, usable before Lightning is imported."""

import logging
import os

from lightning_utilities.core import rank_zero
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_only, rank_zero_warn

__all__ = ["rank_zero_info", "rank_zero_only", "rank_zero_warn"]

if not hasattr(rank_zero_only, "rank"):  # as Lightning does when it is imported
    ranks = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"))
    rank_zero_only.rank = int(next((rank for rank in ranks if rank is not None), 0))  # type: ignore[attr-defined]
    rank_zero.log.setLevel(logging.INFO)
    if not logging.getLogger().hasHandlers():
        rank_zero.log.addHandler(logging.StreamHandler())
