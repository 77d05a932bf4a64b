"""The leader's loop: receives commands, makes blocks, sends answers. One thread, no locks.

A turn reads all waiting messages, sequences and applies the commands, appends the blocks to the input log, and only
then answers and publishes. The engine halts, which means that it refuses batches, in two cases: the ring is full of
blocks that settlement has not confirmed, or the input log is full. In the second case some applied blocks are not in
the log yet; they are not answered or published before they are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from matching.core.blocks import Block
from matching.core.codes import is_definition
from matching.core.epochs import Epoch, Superseded
from matching.core.errors import LogFull
from matching.node.backlog import Backlog, Waiting
from matching.node.command_endpoint import CommandEndpoint
from matching.node.publisher import Publisher
from matching.node.sequencer import Sequenced, Sequencer
from matching.node.status import HALTED, StatusBoard
from matching.storage.history import StoredUpTo
from matching.storage.input_logs.base import InputLog
from matching.storage.ring import Ring
from matching.storage.snapshot_files import Snapshotter
from matching.transport import wire
from matching.transport.sockets import Network, Socket

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _PendingTurn:
    """A turn whose blocks are applied but not in the input log: answered and published once they are."""

    done: Sequenced
    senders: Sequence[bytes]
    first_numbers: dict[int, int]  # client → number of its first command in these blocks

    def holds(self, batch: wire.Batch) -> bool:
        return batch.last_number >= self.first_numbers.get(batch.client, wire.MAX_NUMBER + 1)


@dataclass(kw_only=True)
class Leader:
    """The leader's parts, injected."""

    endpoint: CommandEndpoint
    sequencer: Sequencer
    input_log: InputLog
    publisher: Publisher
    ring: Ring
    board: StatusBoard
    block_commands: int
    snapshotter: Snapshotter
    superseded: Callable[[], Epoch | None]
    stored: Callable[[], StoredUpTo | None]
    backlog: Backlog
    touched_orders: int
    pending: _PendingTurn | None = field(default=None, init=False)

    def turn(self) -> None:
        """Handles all waiting messages once. Raises Superseded, LogUnusable."""
        self._stop_if_superseded()
        self.publisher.confirmations.note_stored(self.stored())
        if self.ring.full:
            self.publisher.serve()  # first, because a confirmation makes room; otherwise commands come first
        self._sequence(self.backlog.take(self.endpoint.receive()))
        self.backlog.run(self._sequence)
        self.publisher.serve()
        if self.publisher.beat() and self.pending is not None:
            self._log(self.pending)
        if self.pending is None and self.snapshotter.advance(self.board.engine, self.ring):
            self._shorten_log()

    def _stop_if_superseded(self) -> None:
        newest = self.superseded()
        if newest is not None and newest.number > self.board.engine.epoch:
            raise Superseded(
                f"Engine {newest.engine} has begun epoch {newest.number}: this engine was replaced and stops. "
                f"To follow the new leader, restart it with --follow {newest.commands}"
            )

    def _shorten_log(self) -> None:
        """Drops blocks from the input log that were read back from the store and that every kept snapshot includes."""
        oldest = self.snapshotter.oldest()
        if oldest is not None:
            self.input_log.drop_before(min(self.publisher.confirmations.stored, oldest) + 1)

    @property
    def idle_s(self) -> float:
        """Seconds until the next turn has something to do, unless a message arrives."""
        return max(0.0, min(self.backlog.due_in_s, self.publisher.idle_s, self.endpoint.idle_s))

    def _admitted(self, batches: Sequence[Waiting]) -> list[Waiting]:
        """The batches for whose blocks the ring has room. The others are refused, or answered if they are repeated."""
        admitted = []
        room = 0 if self.pending else self.ring.room * self.block_commands
        for one in batches:
            batch = one.batch
            if room > 0:
                admitted.append(one)
                room -= len(batch.commands)
                # Each command on reference data ends a block, however few commands are in it.
                if is_definition(int(batch.commands["kind"][-1])):
                    room -= self.block_commands
            else:
                self._refuse(one.received.sender, batch)
        return admitted

    def _refuse(self, sender: bytes, batch: wire.Batch) -> None:
        pending = self.pending
        done = applied = self.board.engine.clients.last_number(batch.client, batch.owner)
        if pending is not None:
            applied = min(done, pending.first_numbers.get(batch.client, applied + 1) - 1)
        if pending is not None and pending.holds(batch) and batch.first_number <= done:
            return  # applied, and answered once the log has it; a refusal would say that it was not applied
        answer = self.sequencer.answer_repeated(batch)
        if answer is not None:
            self.endpoint.answer(sender, answer)
            return
        reason = self.board.halted or HALTED
        self.endpoint.refuse(
            sender, wire.Refused(wire.ENGINE_HALTED, reason, batch.client, batch.first_number, applied)
        )

    def _sequence(self, batches: Sequence[Waiting]) -> None:
        """Applies batches, but only those commands of costly senders that the budget allows."""
        while admitted := self._admitted(batches):
            done = self.sequencer.sequence(
                [one.batch for one in admitted], budget=self.touched_orders, earlier=admitted[0].segments
            )
            batches = self.backlog.keep(admitted, done)
            self._log(_PendingTurn(done, [one.received.sender for one in admitted], {}))

    def _log(self, turn: _PendingTurn) -> None:
        """Appends the turn's blocks to the input log, then answers and publishes them; halts if the log is full."""
        try:
            if turn.done.blocks:
                self.input_log.append(turn.done.blocks)
        except LogFull as error:
            if self.pending is None:
                log.warning("engine.halted", reason=str(error), block=turn.done.blocks[0].number)
                self.pending = _PendingTurn(turn.done, turn.senders, _first_numbers(turn.done.blocks))
                self.board.log_full = f"{error} The engine takes no commands until there is room."
            return
        if self.pending is not None:
            log.info("engine.resumed", block=turn.done.blocks[-1].number)
            self.pending = None
            self.board.log_full = ""
        self._answer_and_publish(turn)

    def _answer_and_publish(self, turn: _PendingTurn) -> None:
        blocks = turn.done.blocks
        self.ring.release()
        self._count(blocks)
        # Answers first: on few cores a reader that wakes up for the blocks would delay the client's answer.
        for sender, answer in zip(turn.senders, turn.done.answers, strict=True):
            if isinstance(answer, wire.Refused):
                self.endpoint.refuse(sender, answer)
            elif answer is not None:
                self.endpoint.answer(sender, answer)
        self.publisher.publish(blocks)
        self.ring.index()

    def _count(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            self.board.counters.commands += block.command_count
            self.board.counters.events += block.event_count


def _first_numbers(blocks: Iterable[Block]) -> dict[int, int]:
    numbers: dict[int, int] = {}
    for block in blocks:
        for client, first_number, *_ in block.requests.tolist():
            numbers.setdefault(client, first_number)
    return numbers


def serve(leader: Leader, network: Network, sockets: Sequence[Socket], stop: Callable[[], bool]) -> None:
    """Runs turns until `stop()`, which is called at least once per heartbeat interval.

    Raises Superseded, LogUnusable; the engine then answers nothing more.
    """
    run_turns(leader.turn, lambda: leader.idle_s, network, sockets, stop)


def run_turns(
    turn: Callable[[], object],
    idle_s: Callable[[], float],
    network: Network,
    sockets: Sequence[Socket],
    stop: Callable[[], bool],
) -> None:
    """Calls `turn` whenever one of `sockets` is readable or `idle_s()` seconds have passed."""
    while not stop():
        network.wait(sockets, idle_s())
        turn()
