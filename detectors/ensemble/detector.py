"""Several detectors as one, made by ``task=combine combine.checkpoint=FILE``."""

from collections.abc import Mapping
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from contracts.batch import Batch
from contracts.errors import ConfigError, nearest
from contracts.view import Sides
from detectors.base import Detector, Scores
from detectors.ensemble.p_values import combined_p_value, exact_p_values

Rule = Literal["linear", "rank_mean", "stouffer", "minimum"]
P_VALUES = ("stouffer", "minimum")  # Rules that combine p-values among real images (RealStats)


class EnsembleNet(nn.Module):
    """The members, and what was fitted on validation images.

    Args:
        members: detectors by name.
        reference: number of images that ranks are taken among; 0 for the linear rule.
    """

    weights: Tensor
    bias: Tensor
    reference: Tensor

    def __init__(self, members: Mapping[str, Detector], reference: int) -> None:
        super().__init__()
        self.members = nn.ModuleDict(members)
        count = len(members)
        self.register_buffer("weights", torch.full((count,), 1 / max(1, count), dtype=torch.float64))
        self.register_buffer("bias", torch.zeros((), dtype=torch.float64))
        self.register_buffer("reference", torch.zeros(reference, count, dtype=torch.float64))


class Ensemble(Detector):
    """The weighted sum of the logits of several detectors, the mean of their ranks, or their p-value among real images.

    Its checkpoint holds the members whole. Each member's logit is a column ``vote_NAME`` of the dump; rules of p-values
    add a column ``p_value``.

    Args:
        members: detectors by name, all with one view of an image, which is that of the ensemble.
        rule: ``linear`` (weights and bias; the plain mean if none were fitted), ``rank_mean``, or ``stouffer`` or
            ``minimum`` of two-sided p-values, which takes members as independent on real images.
        reference: number of images that ranks or p-values are taken among; real ones alone for p-values.

    Raises:
        ConfigError: fewer than two members, an unknown rule, or members that look at an image differently.
    """

    net: EnsembleNet

    def __init__(self, members: Mapping[str, Detector], rule: Rule = "linear", reference: int = 0) -> None:
        if len(members) < 2:
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
        self.net = EnsembleNet(members, reference)

    @property
    def members(self) -> dict[str, Detector]:
        """The members by name."""
        return {name: cast(Detector, member) for name, member in self.net.members.items()}

    def configure_model(self) -> None:
        """Each member has its own memory format."""
        for member in self.members.values():
            member.configure_model()

    def sides(self) -> Sides:
        """Images that all members can take."""
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
        """One logit a crop; every member's is a column of the dump."""
        votes = {name: member.score(batch).logits for name, member in self.members.items()}
        logits = self.combined(torch.stack([vote.double() for vote in votes.values()], 1))
        extras = {f"vote_{name}": vote for name, vote in votes.items()}
        if self.rule in P_VALUES:
            extras["p_value"] = torch.sigmoid(-logits).float()
        return Scores(logits.float(), extras)

    def combined(self, values: Tensor) -> Tensor:
        """Logits of the members [B, members] float64 → [B]."""
        if self.rule == "linear":
            return (values * self.net.weights).sum(1) + self.net.bias
        if self.rule in P_VALUES:
            p = combined_p_value(exact_p_values(self.net.reference, values), self.rule)
            return torch.logit(1 - p, eps=1e-12)
        ordered, sought = self.net.reference.sort(0).values.T.contiguous(), values.T.contiguous()
        places = torch.searchsorted(ordered, sought) + torch.searchsorted(ordered, sought, right=True)
        share = (places.double() + 1) / (2 * ordered.shape[1] + 2)
        return torch.logit(share.mean(0), eps=1e-12)
