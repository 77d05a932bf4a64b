"""Batches that wait because their sender's commands are costly.

A command may touch every open order: a sweep trades with each maker, `cancel_all` cancels each order of an account. So
the commands of one turn of the engine's loop have a budget of orders touched. The sender whose commands used it up gets
a lane, in which its batches wait. After everyone else's batches, the engine serves the lanes round-robin, one budget
each. While others send commands, all lanes together have a share of the time. Within a lane, the sender's connections
are served round-robin too.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from matching.node.command_endpoint import Received
from matching.node.sequencer import Sequenced
from matching.node.status import Counters
from matching.transport.time_slice import CostlyWork
from matching.transport.wire import Batch, Segment

TOUCHED_A_TURN = 1 << 16
"""Orders that the commands of a turn may touch: a few milliseconds, about four times what a full turn touches."""
_MAX_BATCHES = 16
"""Batches of a connection that may wait, as many as in its receive queue."""
_OTHERS_S = 0.05
"""Once no other sender's batch has come for this long, lanes may use all the time."""
_MAX_BYTES = 64 << 20
"""Of all batches that wait."""


class Waiting(NamedTuple):
    """A batch to apply. `segments` are the answers to its first commands, if earlier turns applied those."""

    received: Received
    segments: Sequence[Segment] = ()

    @property
    def batch(self) -> Batch:
        return self.received.batch


_Lane = dict[bytes, deque[Waiting]]  # connection → its batches


class Backlog:
    """The lanes, the next one to serve first. A lane that becomes empty ends, and its sender is like all others.

    `clock` returns monotonic seconds.
    """

    def __init__(self, counters: Counters, clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._work = CostlyWork(clock)
        self._others_at_s = float("-inf")  # when a batch of a sender without a lane arrived last
        self._lanes: dict[bytes, _Lane] = {}
        self._bytes = 0

    @property
    def due_in_s(self) -> float:
        """Seconds until a lane may be served, infinity if no batch waits."""
        if not self._lanes:
            return float("inf")
        quiet_in_s = self._others_at_s + _OTHERS_S - self._clock()
        return min(self._work.due_in_s, quiet_in_s)

    def run(self, apply: Callable[[list[Waiting]], None]) -> None:
        """Applies the next batch of a lane, if it is due."""
        if self.due_in_s <= 0:
            self._work.run(lambda: apply([self._next()]))

    def take(self, received: Iterable[Received]) -> list[Waiting]:
        """Puts batches of senders that have a lane into it, and returns the others.

        A batch is dropped if there is no room: its client sends it again, as after a broken connection.
        """
        others = []
        for one in received:
            lane = self._lanes.get(one.lane)
            if lane is None:
                others.append(Waiting(one))
            elif not _is_repeated(lane, one):
                if len(lane.get(one.sender, ())) < _MAX_BATCHES and self._bytes < _MAX_BYTES:
                    lane.setdefault(one.sender, deque()).append(Waiting(one))
                    self._note(one)
                else:
                    self._counters.dropped_batches += 1
        if others:
            self._others_at_s = self._clock()
        return others

    def keep(self, batches: Sequence[Waiting], done: Sequenced) -> list[Waiting]:
        """Puts the unfinished batches of a turn's costly sender into its lane. Returns those of other senders."""
        if done.costly is None:
            return []
        costly = batches[done.costly].received.lane
        unfinished = [Waiting(batches[index].received, done.unfinished[index]) for index in sorted(done.unfinished)]
        for one in reversed(unfinished):
            if one.received.lane == costly:
                self._lanes.setdefault(costly, {}).setdefault(one.received.sender, deque()).appendleft(one)
                self._note(one.received)
        return [one for one in unfinished if one.received.lane != costly]

    def _next(self) -> Waiting:
        """Takes out the first batch of the next connection in the next lane."""
        name = next(iter(self._lanes))
        lane = self._lanes.pop(name)
        sender = next(iter(lane))
        queue = lane.pop(sender)
        one = queue.popleft()
        self._bytes -= _size(one.batch)
        if queue:
            lane[sender] = queue  # at the end
        if lane:
            self._lanes[name] = lane
        return one

    def _note(self, received: Received) -> None:
        self._bytes += _size(received.batch)
        self._counters.deferred_batches += 1


def _is_repeated(lane: _Lane, received: Received) -> bool:
    """Whether the batch waits already. The answer then goes to the connection that sent it last."""
    batch = received.batch
    for queue in lane.values():
        for index, one in enumerate(queue):
            if one.batch.identity == batch.identity:
                queue[index] = one._replace(received=one.received._replace(sender=received.sender))
                return True
    return False


def _size(batch: Batch) -> int:
    return int(batch.commands.nbytes) + len(batch.texts)
