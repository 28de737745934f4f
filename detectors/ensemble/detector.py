"""Several detectors combined into one by ``task=combine combine.checkpoint=FILE``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from contracts.batch import Batch
from contracts.errors import ConfigError, nearest
from contracts.view import Sides
from detectors.base import Detector, Scores
from detectors.ensemble.p_values import combined_p_value, exact_p_values

Rule = Literal["linear", "rank_mean", "stouffer", "minimum"]
P_VALUES = ("stouffer", "minimum")  # Rules that combine p-values among real images (RealStats)
LOGIT = "logit"  # Name of the column that holds a detector's logit
THRESHOLDS = "thresholds"  # Entry of an ensemble's passport: the threshold of each rule that it can be used with


class EnsembleNet(nn.Module):
    """The members, and what was fitted on validation images.

    Args:
        members: detectors by name.
        columns: number of scores that are combined.
        reference: number of reference images for ranks and p-values; 0 for the linear rule.
    """

    weights: Tensor
    bias: Tensor
    reference: Tensor

    def __init__(self, members: Mapping[str, Detector], columns: int, reference: int) -> None:
        super().__init__()
        self.members = nn.ModuleDict(members)
        self.register_buffer("weights", torch.full((columns,), 1 / max(1, columns), dtype=torch.float64))
        self.register_buffer("bias", torch.zeros((), dtype=torch.float64))
        self.register_buffer("reference", torch.zeros(reference, columns, dtype=torch.float64))


class Ensemble(Detector):
    """The weighted sum of several scores of detectors, the mean of their ranks, or their p-value among real images.

    Its checkpoint holds the members whole. Each score is a column ``vote_NAME`` of the dump; rules of p-values add a
    column ``p_value``.

    Args:
        members: detectors by name, all with one view of an image, which is that of the ensemble.
        rule: ``linear`` (weights and bias; the plain mean if none were fitted), ``rank_mean``, or ``stouffer`` or
            ``minimum`` of two-sided p-values, which assumes that members are independent on real images.
        reference: number of reference images for ranks or p-values; only real ones for p-values.
        columns: columns to combine, by name: the member's name, or ``[member, column]`` for another column of its dump
            than the logit. None for the logit of each member.

    Raises:
        ConfigError: fewer than two columns, an unknown rule, or members with different views.
    """

    net: EnsembleNet

    def __init__(
        self,
        members: Mapping[str, Detector],
        rule: Rule = "linear",
        reference: int = 0,
        columns: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.columns = {name: (name, LOGIT) for name in members} if columns is None else dict(columns)
        if len(self.columns) < 2:
            raise ConfigError(
                f"detector.members has {len(members)}",
                "Give ckpt=FILE, a checkpoint of task=combine combine.checkpoint=FILE, which holds its members.",
            )
        if rule not in get_args(Rule):
            raise ConfigError(f"detector.rule={rule!r} is unknown", nearest(rule, get_args(Rule)))
        (first_name, first), *others = members.items()
        for name, other in others:
            if other.eval_view != first.eval_view:
                raise ConfigError(
                    f"{first_name} looks at images as {first.eval_view.name}, {name} as {other.eval_view.name}",
                    "Combine detectors with equal eval_view, or their dumps alone (without combine.checkpoint).",
                )
        super().__init__(first.eval_view, first.eval_view, channels_last=False)
        self.rule = rule
        self.net = EnsembleNet(members, len(self.columns), reference)

    @staticmethod
    def described(entry: Mapping[str, Any], rule: str, path: Path) -> dict[str, Any]:
        """The passport of an ensemble's checkpoint for use with a rule, with that rule's threshold.

        Raises:
            ConfigError: the checkpoint was made for another rule and has no threshold for this one.
        """
        thresholds = entry.get(THRESHOLDS, {})
        fitted = entry["detector"]["rule"]
        if rule == fitted:
            return dict(entry)
        if rule not in thresholds:
            raise ConfigError(
                f"detector.rule={rule}: {path} was made for {fitted}, and has no threshold of another rule",
                f"Remove detector.rule, or run task=combine combine.rule={rule} combine.checkpoint=FILE.",
            )
        return {**entry, "threshold": thresholds[rule]}

    @property
    def members(self) -> dict[str, Detector]:
        """The members by name."""
        return {name: cast(Detector, member) for name, member in self.net.members.items()}

    def configure_model(self) -> None:
        """Apply every member's own memory format and compilation."""
        for member in self.members.values():
            member.configure_model()

    def sides(self) -> Sides:
        """Image sizes that all members accept."""
        each = [member.sides() for member in self.members.values()]
        exact = next((one for one in each if one.exact is not None), Sides())
        return Sides(max(one.least for one in each), exact.exact, exact.reason)

    def loss(self, batch: Batch) -> Tensor:  # noqa: ARG002
        """There is none.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("detector=ensemble has no loss", "Train its members, then make it with task=combine.")

    def score(self, batch: Batch) -> Scores:
        """One logit per crop; every combined score is a column of the dump.

        Raises:
            ConfigError: a member does not give a column that is combined.
        """
        scores = {name: member.score(batch) for name, member in self.members.items()}
        votes = {name: _column(scores[member], member, column) for name, (member, column) in self.columns.items()}
        logits = self.combined(torch.stack([vote.double() for vote in votes.values()], 1))
        extras = {f"vote_{name}": vote for name, vote in votes.items()}
        if self.rule in P_VALUES:
            extras["p_value"] = torch.sigmoid(-logits).float()
        return Scores(logits.float(), extras)

    def combined(self, values: Tensor, rule: str | None = None) -> Tensor:
        """Columns [B, columns] float64 → logits [B] by ``rule``, or by the ensemble's own rule if it is None."""
        rule = rule or self.rule
        if rule == "linear":
            return (values * self.net.weights).sum(1) + self.net.bias
        if rule in P_VALUES:
            p = combined_p_value(exact_p_values(self.net.reference, values), rule)
            return torch.logit(1 - p, eps=1e-12)
        ordered, sought = self.net.reference.sort(0).values.T.contiguous(), values.T.contiguous()
        places = torch.searchsorted(ordered, sought) + torch.searchsorted(ordered, sought, right=True)
        share = (places.double() + 1) / (2 * ordered.shape[1] + 2)
        return torch.logit(share.mean(0), eps=1e-12)


def _column(scores: Scores, member: str, name: str) -> Tensor:
    """A column of a member's dump, [B]: its logit, or one of its extras as the dump names them."""
    if name == LOGIT:
        return scores.logits
    known: dict[str, Tensor] = {}
    for key, values in scores.extras.items():
        flat = values.reshape(len(values), -1).float()
        known |= {key: flat[:, 0]} if values.ndim == 1 else {f"{key}_{k}": one for k, one in enumerate(flat.T)}
    if name not in known:
        raise ConfigError(f"{member} gives no column {name!r}", nearest(name, [LOGIT, *known]))
    return known[name]
