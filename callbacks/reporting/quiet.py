"""Suppresses messages of Lightning that do not help here, each for the reason given."""

import logging
import warnings

LOG_LINES = {
    "pytorch_lightning.utilities.rank_zero": (
        "💡 Tip:",  # advertises a cloud service
        "GPU available:",  # `task=doctor` shows the devices
        "TPU available:",
        "`Trainer.fit` stopped:",  # the table that follows shows it
        "Loading `train_dataloader` to estimate",
    ),
    # printed on every save, although our checkpoint plugin always reads with weights_only=True
    "pytorch_lightning.trainer.connectors.checkpoint_connector": ("`weights_only` was not set",),
}

WARNINGS = (
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",  # concerns Lightning's use of torch
    r".*The `srun` command is available on your system but is not used",  # docs/cluster.md shows how to use it
    r".*using the WeightAveraging callback with a model that overrides the configure_model",  # ours is not sharded
    r".*does not have many workers which may be a bottleneck",  # our loaders are not DataLoaders, and decode in batches
)


class _Filter(logging.Filter):
    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self.beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.beginnings)


def quieten() -> None:
    """Suppresses those messages; calling it again changes nothing."""
    for name, beginnings in LOG_LINES.items():
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Filter) for known in logger.filters):
            logger.addFilter(_Filter(beginnings))
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message)
