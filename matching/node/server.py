"""The leader's loop: commands in, blocks out, answers back. One thread, no lock; the engine is never left waiting.

A turn takes what waits on the sockets, orders and applies it, gives it to the input log, and only then answers and
publishes. When settlement has not confirmed for as many blocks as the ring holds, the engine halts: it refuses
batches until there is room again. It halts, too, when the input log is full: the blocks that it did not take were
applied, but nobody sees them or hears of them before the log has taken them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from matching.core.blocks import Block
from matching.core.codes import FIRST_REFERENCE_COMMAND
from matching.core.epochs import Epoch, Superseded
from matching.core.errors import LogFull
from matching.node.command_endpoint import CommandEndpoint
from matching.node.publisher import Publisher
from matching.node.sequencer import Sequenced, Sequencer
from matching.node.status import HALTED, StatusBoard
from matching.storage.input_logs.base import InputLog
from matching.storage.ring import Ring
from matching.storage.snapshot_files import Snapshotter
from matching.transport import wire
from matching.transport.sockets import Network, Socket

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _PendingTurn:
    """A turn whose blocks the input log has not taken: applied, and to be answered and published when it has."""

    done: Sequenced
    senders: Sequence[bytes]
    first_numbers: dict[int, int]  # client → number of its first command in these blocks

    def holds(self, batch: wire.Batch) -> bool:
        return batch.last_number >= self.first_numbers.get(batch.client, wire.MAX_NUMBER + 1)


@dataclass(kw_only=True)
class Leader:
    """Everything that a turn needs, injected."""

    endpoint: CommandEndpoint
    sequencer: Sequencer
    input_log: InputLog
    publisher: Publisher
    ring: Ring
    board: StatusBoard
    block_commands: int
    snapshotter: Snapshotter
    superseded: Callable[[], Epoch | None]
    pending: _PendingTurn | None = field(default=None, init=False)

    def turn(self) -> None:
        """Everything that waits on the sockets, once. Raises Superseded, LogUnusable."""
        self._stop_if_superseded()
        if self.ring.full:
            self.publisher.serve()  # first, as a confirmation makes room; else nobody who sends commands waits for it
        admitted = self._admitted(self.endpoint.receive())
        if admitted:
            self._sequence(admitted)
        self.publisher.serve()
        if self.publisher.beat() and self.pending is not None:
            self._log(self.pending)
        if self.pending is None and self.snapshotter.look(self.board.engine, self.ring):
            self._shorten_log()

    def _stop_if_superseded(self) -> None:
        newest = self.superseded()
        if newest is not None and newest.number > self.board.engine.epoch:
            raise Superseded(
                f"Engine {newest.engine} has begun epoch {newest.number}: this engine was replaced and stops. "
                f"It may follow the other: --follow {newest.commands}"
            )

    def _shorten_log(self) -> None:
        """What settlement has and every snapshot that is kept covers, the input log need not hold."""
        oldest = self.snapshotter.oldest()
        if oldest is not None:
            self.input_log.drop_before(min(self.ring.confirmed, oldest) + 1)

    def _admitted(self, received: Sequence[tuple[bytes, wire.Batch]]) -> list[tuple[bytes, wire.Batch]]:
        """Those for whose blocks the ring has room; the others are refused, or answered if they are repetitions."""
        admitted = []
        room = 0 if self.pending else self.ring.room * self.block_commands
        for sender, batch in received:
            if room > 0:
                admitted.append((sender, batch))
                room -= len(batch.commands)
                # Each command on reference data ends a block, however few commands are in it.
                if int(batch.commands["kind"][-1]) >= FIRST_REFERENCE_COMMAND:
                    room -= self.block_commands
            else:
                self._refuse(sender, batch)
        return admitted

    def _refuse(self, sender: bytes, batch: wire.Batch) -> None:
        pending = self.pending
        done = applied = self.board.engine.clients.get(batch.client, 0)
        if pending is not None:
            applied = min(done, pending.first_numbers.get(batch.client, applied + 1) - 1)
        if pending is not None and pending.holds(batch) and batch.first_number <= done:
            return  # it is done, and answered once the log has it: a refusal would say that it is not
        answer = self.sequencer.answer_repeated(batch)
        if answer is not None:
            self.endpoint.answer(sender, answer)
            return
        reason = self.board.halted or HALTED
        self.endpoint.refuse(
            sender, wire.Refused(wire.ENGINE_HALTED, reason, batch.client, batch.first_number, applied)
        )

    def _sequence(self, admitted: Sequence[tuple[bytes, wire.Batch]]) -> None:
        done = self.sequencer.sequence([batch for _, batch in admitted])
        self._log(_PendingTurn(done, [sender for sender, _ in admitted], {}))

    def _log(self, turn: _PendingTurn) -> None:
        """Makes the turn's blocks as durable as the input log promises; only then does anybody hear of them."""
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
        self._tell(turn)

    def _tell(self, turn: _PendingTurn) -> None:
        blocks = turn.done.blocks
        self.ring.release()
        self._count(blocks)
        # Answers first: on few cores a reader of blocks that wakes up would keep the client waiting.
        for sender, answer in zip(turn.senders, turn.done.answers, strict=True):
            if isinstance(answer, wire.Refused):
                self.endpoint.refuse(sender, answer)
            else:
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
        for client, first_number, _, _ in block.requests.tolist():
            numbers.setdefault(client, first_number)
    return numbers


def serve(leader: Leader, network: Network, sockets: Sequence[Socket], stop: Callable[[], bool]) -> None:
    """Turns until `stop()`, which is asked at least every heartbeat.

    Raises Superseded, LogUnusable: nothing is answered any more.
    """
    run_turns(leader.turn, leader.publisher, network, sockets, stop)


def run_turns(
    turn: Callable[[], object],
    publisher: Publisher,
    network: Network,
    sockets: Sequence[Socket],
    stop: Callable[[], bool],
) -> None:
    """Calls `turn` whenever one of `sockets` has something to read or a heartbeat is due."""
    while not stop():
        network.wait(sockets, publisher.idle_s)
        turn()
