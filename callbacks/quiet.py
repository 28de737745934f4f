"""What Lightning says that helps nobody here, each with the reason why it is left out; all else passes."""

import logging
import warnings

SAID = {
    "pytorch_lightning.utilities.rank_zero": (
        "💡 Tip:",  # advertises a cloud service
        "GPU available:",  # `task=doctor` tells the devices
        "TPU available:",
        "`Trainer.fit` stopped:",  # the table that follows says so
        "Loading `train_dataloader` to estimate",
    ),
    # said on every save, and our checkpoint plugin reads with weights_only=True whatever is said here
    "pytorch_lightning.trainer.connectors.checkpoint_connector": ("`weights_only` was not set",),
}

WARNED = (
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated",  # Lightning's own business with torch
    r".*The `srun` command is available on your system but is not used",  # docs/cluster.md shows how to use it
    r".*using the WeightAveraging callback with a model that overrides the configure_model",  # ours shards nothing
    r".*does not have many workers which may be a bottleneck",  # our loaders are no DataLoaders and decode in batches
)


class _Without(logging.Filter):
    def __init__(self, beginnings: tuple[str, ...]) -> None:
        super().__init__()
        self.beginnings = beginnings

    def filter(self, record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(self.beginnings)


def quieten() -> None:
    """Takes those lines out; calling it again changes nothing."""
    for name, beginnings in SAID.items():
        logger = logging.getLogger(name)
        if not any(isinstance(known, _Without) for known in logger.filters):
            logger.addFilter(_Without(beginnings))
    for message in WARNED:
        warnings.filterwarnings("ignore", message)
