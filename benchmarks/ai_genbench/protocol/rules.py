"""How a run's settings deviate from the leaderboard's rules."""

from dataclasses import dataclass

from benchmarks.ai_genbench.protocol.seeds import Protocol


@dataclass(frozen=True)
class Rules:
    """Protocol of a run and its deviations from the leaderboard's rules; its tables name both."""

    protocol: Protocol = "v1"  # Protocol of the degradation
    deviations: tuple[str, ...] = ()
    """Settings that the leaderboard does not allow, in words; empty if the run is comparable."""

    def sentence(self) -> str:
        """A sentence that names the deviations, to go below a table; empty if there are none."""
        if not self.deviations:
            return ""
        return f"Not comparable with the leaderboard: {'; '.join(self.deviations)}."
