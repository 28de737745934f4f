"""How far a run's settings are from the leaderboard's rules."""

from dataclasses import dataclass

from benchmarks.ai_genbench.protocol.seeds import Protocol


@dataclass(frozen=True)
class Rules:
    """What a table of results has to say.

    Attributes:
        protocol: Under which images were degraded.
        deviations: Settings that the leaderboard does not allow, in words; empty where the rows are comparable.
    """

    protocol: Protocol = "v1"
    deviations: tuple[str, ...] = ()

    def sentence(self) -> str:
        """For under a table; empty where there is nothing to say."""
        if not self.deviations:
            return ""
        return f"Not comparable with the leaderboard: {'; '.join(self.deviations)}."
