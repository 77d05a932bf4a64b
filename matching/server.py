"""The leader's loop: commands in, blocks out, answers back. One thread, no lock; the engine is never left waiting.

A turn takes what waits on the sockets, orders and applies it, gives it to the input log, and only then answers and
publishes. When settlement has not confirmed for as many blocks as the ring holds, the engine halts: it refuses
batches until there is room again.
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matching import wire
from matching.blocks import Block
from matching.codes import FIRST_REFERENCE_COMMAND
from matching.desk import Desk
from matching.input_logs.base import InputLog
from matching.publisher import Publisher
from matching.ring import Ring
from matching.sequencer import Sequencer
from matching.sockets import Network, Socket
from matching.status import HALTED, StatusBoard

_FIRST_REFERENCE = int(FIRST_REFERENCE_COMMAND)


@dataclass
class Leader:
    """Everything that a turn needs, injected."""

    desk: Desk
    sequencer: Sequencer
    input_log: InputLog
    publisher: Publisher
    ring: Ring
    board: StatusBoard
    block_commands: int

    def turn(self) -> None:
        """Everything that waits on the sockets, once."""
        if self.ring.full:
            self.publisher.serve()  # first, as a confirmation makes room; else nobody who sends commands waits for it
        received = self.desk.receive()
        if received:
            self._sequence(self._admitted(received))
        self.publisher.serve()
        self.publisher.beat()

    def _admitted(self, received: Sequence[tuple[bytes, wire.Batch]]) -> list[tuple[bytes, wire.Batch]]:
        """Those for whose blocks the ring has room; the others are refused, or answered if they are repetitions."""
        admitted = []
        room = self.ring.room * self.block_commands
        for sender, batch in received:
            if room > 0:
                admitted.append((sender, batch))
                room -= len(batch.commands)
                # Each command on reference data ends a block, however few commands are in it.
                if int(batch.commands["kind"][-1]) >= _FIRST_REFERENCE:
                    room -= self.block_commands
            else:
                self._refuse(sender, batch)
        return admitted

    def _refuse(self, sender: bytes, batch: wire.Batch) -> None:
        answer = self.sequencer.answer_repeated(batch)
        if answer is not None:
            self.desk.answer(sender, answer)
            return
        applied = self.board.engine.clients.get(batch.client, 0)
        self.desk.refuse(sender, wire.Refused(wire.ENGINE_HALTED, HALTED, batch.client, batch.first_number, applied))

    def _sequence(self, admitted: Sequence[tuple[bytes, wire.Batch]]) -> None:
        done = self.sequencer.sequence([batch for _, batch in admitted])
        if done.blocks:
            self.input_log.append(done.blocks)
            self._count(done.blocks)
        # Answers first: on few cores a reader of blocks that wakes up would keep the client waiting.
        for (sender, _), answer in zip(admitted, done.answers, strict=True):
            if isinstance(answer, wire.Refused):
                self.desk.refuse(sender, answer)
            else:
                self.desk.answer(sender, answer)
        self.publisher.publish(done.blocks)
        self.ring.index()

    def _count(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            self.board.counters.commands += block.command_count
            self.board.counters.events += block.event_count


def serve(leader: Leader, network: Network, sockets: Sequence[Socket], stop: Callable[[], bool]) -> None:
    """Turns until `stop()`, which is asked at least every heartbeat. Raises LogUnusable: nothing is answered then."""
    run_turns(leader.turn, leader.publisher, network, sockets, stop)


def run_turns(
    turn: Callable[[], object],
    publisher: Publisher,
    network: Network,
    sockets: Sequence[Socket],
    stop: Callable[[], bool],
) -> None:
    """Calls `turn` whenever one of `sockets` has something to read or a heartbeat is due."""
    # What is there by now stays; leaving it out makes a collection short, so that no answer waits for a long one.
    gc.collect()
    gc.freeze()
    try:
        while not stop():
            network.wait(sockets, publisher.idle_s)
            turn()
    finally:
        gc.unfreeze()
