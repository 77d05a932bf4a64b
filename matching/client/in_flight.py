"""Batches in flight: sent to an engine and not answered yet, with the client id and the numbers of their commands."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from matching.core.blocks import Records
from matching.core.clients import new_id
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
    batches_before: int  # of this connection
    refused: wire.Refused | None = None  # the engine's refusal of the last sending
    sendings: int = 0
    refusals: int = 0

    @property
    def may_be_applied(self) -> bool:
        """At least one sending was not refused, so the batch may be applied now or later, for example from a log."""
        return self.refusals < self.sendings


class ClientIds:
    """The client ids that a connection uses one after the other.

    `random_bytes(n)` returns n unpredictable bytes; `time_ns` returns nanoseconds since the Unix epoch.
    """

    def __init__(self, given: int | None, random_bytes: Callable[[int], bytes], time_ns: Callable[[], int]) -> None:
        self._random_bytes = random_bytes
        self._time_ns = time_ns
        self.is_given = given is not None
        """Whether the caller chose the id, so that it must not be replaced without telling him."""
        self.current = given or self._new()

    def replace(self, above: int = 0) -> None:
        """Takes a new id, higher than `above` and than the last one that was taken here."""
        self.current = self._new(above if self.is_given else max(above, self.current))
        self.is_given = False

    def _new(self, above: int = 0) -> int:
        return new_id(self._time_ns(), int.from_bytes(self._random_bytes(8), "little"), above)


class Requests:
    """The numbers of a connection's commands, and its batches in flight.

    With a new client id the numbers on the wire begin again; those that the caller sees go on.
    """

    def __init__(self, ids: ClientIds, first_number: int, window: int) -> None:
        """`window`: an engine remembers that many of a client's newest batches (`clients.WINDOW`)."""
        self.ids = ids
        self.next_number = first_number
        self.answered_up_to = 0
        """The highest answered number on the wire."""
        self._window = window
        self._batches: dict[int, InFlight] = {}  # by first number on the wire, oldest first
        self._sent = 0  # number of batches so far
        self._shift = 0  # number of a command minus its number on the wire

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def is_full(self) -> bool:
        """Whether another batch could make the engine forget the oldest one in flight, whose answer may be lost."""
        return bool(self._batches) and self._sent - self.oldest.batches_before >= self._window

    @property
    def oldest_number(self) -> int:
        """The first number of the oldest batch on the wire."""
        return next(iter(self._batches))

    @property
    def oldest(self) -> InFlight:
        return next(iter(self._batches.values()))

    @property
    def batches(self) -> Iterable[InFlight]:
        """Oldest first."""
        return self._batches.values()

    def get(self, number: int) -> InFlight | None:
        """The batch with that first number on the wire."""
        return self._batches.get(number)

    def add(self, commands: Records, texts: bytes, now_s: float) -> InFlight:
        """The next batch."""
        number = self.next_number - self._shift
        batch = InFlight(wire.encode_batch(self.ids.current, number, commands, texts), now_s, self._sent)
        self._batches[number] = batch
        self._sent += 1
        self.next_number += len(commands)
        return batch

    def take(self, answer: wire.Answer, now_s: float) -> Answered | None:
        """Takes out the batch that this answers; None if it was sent twice and answered twice."""
        batch = self._batches.pop(answer.first_number, None)
        if batch is None:
            return None
        self.answered_up_to = max(self.answered_up_to, answer.first_number + answer.command_count - 1)
        return Answered(answer.renumbered(self._shift), now_s - batch.sent_at_s)

    def renumber(self, above: int) -> None:
        """Gives the batches in flight a new client id, higher than `above`, and numbers from 1 on."""
        self.ids.replace(above)
        before = self.oldest_number - 1
        self._shift += before
        self._batches = {number - before: batch for number, batch in self._batches.items()}
        for number, batch in self._batches.items():
            batch.payload = wire.renumbered(batch.payload, self.ids.current, number)
            batch.sendings = batch.refusals = 0
        self.answered_up_to = 0

    def begin_again(self) -> None:
        """Drops all batches and takes a new client id, so that used numbers are never given to other commands."""
        self._batches.clear()
        self.ids.replace()
        self.next_number = 1
        self.answered_up_to = self._shift = 0


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
