"""Batches in flight: sent to an engine and not answered yet."""

from dataclasses import dataclass
from typing import NamedTuple

from matching.transport import wire

_MIN_REFUSALS = 3
_MIN_REFUSED_S = 2.0


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


@dataclass(slots=True)
class LostCommands:
    """Refusals of the oldest batch, in a row, by an engine that lacks earlier commands of this client.

    A single refusal may be old and have been delayed. After several over some time, and no answer in between, it is
    certain that the commands are lost.
    """

    refusals: int = 0
    since_s: float = 0.0

    def is_certain_after_refusal(self, now_s: float) -> bool:
        """Counts another refusal; returns whether the commands are certainly lost."""
        if not self.refusals:
            self.since_s = now_s
        self.refusals += 1
        return self.refusals >= _MIN_REFUSALS and now_s >= self.since_s + _MIN_REFUSED_S

    def clear(self) -> None:
        self.refusals = 0
