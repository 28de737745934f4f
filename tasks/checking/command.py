"""From the words of a command to a configuration that can run."""

from collections.abc import Sequence

from conf.check import check
from conf.cli.groups import CONF
from conf.compose import Composed, compose
from contracts.errors import refuse
from tasks.checking.trial import refuse_trainer
from tasks.experiment.lock import refuse_changed
from tasks.experiment.recall import recalled
from tasks.experiment.run import DATA


def checked(words: Sequence[str]) -> Composed:
    """The composed configuration of a command.

    Raises:
        ConfigError: it has a problem; ``task=doctor`` lists problems itself.
    """
    composed = compose(recalled(words), CONF)
    config = composed.config
    if config.task == "doctor":
        return composed
    refuse(check(composed))
    if not config.launcher:
        if config.task == "fit" and config.experiment_id:
            refuse_changed(DATA / config.experiment_id, composed.resolved)
        refuse_trainer(composed)
    return composed
