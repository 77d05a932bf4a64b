"""Batches in flight: sent to an engine and not answered yet."""

from dataclasses import dataclass
from typing import NamedTuple

from matching.transport import wire


class Answered(NamedTuple):
    """An answer, and the time since the batch was first sent, in seconds."""

    answer: wire.Answer
    waited_s: float


@dataclass(slots=True)
class InFlight:
    """One batch; it may be sent several times, with the same numbers."""

    payload: bytes
    sent_at_s: float
    refused: wire.Refused | None = None  # the engine's refusal of the last sending
    sendings: int = 0
    refusals: int = 0

    @property
    def may_be_applied(self) -> bool:
        """At least one sending was not refused, so the batch may be applied now or later, for example from a log."""
        return self.refusals < self.sendings
