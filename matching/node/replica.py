"""One of several engines that read the same log of commands: each makes the same blocks, publishes them, and answers
the clients that are connected to it. There is no leader and nobody is elected; one may die and come back at any time.

How far the log has been read is part of every block, as a request of no commands (`sequencer.LogPosition`), and so of
the engine's state: after a start each message is applied that the state does not have, and none twice.
"""

from collections.abc import Callable, Sequence

import structlog
import xxhash

from matching.core.engine import Engine
from matching.core.epochs import Epoch, Superseded
from matching.core.errors import BadMessage, LogUnusable
from matching.node.block_clock import LogTime
from matching.node.client_batches import ClientBatches, Waiting
from matching.node.command_endpoint import CommandEndpoint
from matching.node.publisher import Publisher
from matching.node.sequencer import LogPosition, Sequenced, Sequencer
from matching.node.status import StatusBoard
from matching.storage.input_logs import frames
from matching.storage.input_logs.base import CommandLog, Logged
from matching.storage.ring import Ring
from matching.storage.snapshot_files import Snapshotter
from matching.transport import wire
from matching.transport.sockets import Network, Socket

log = structlog.get_logger(__name__)

_MESSAGES_A_TURN = 64
_COMMANDS_A_BLOCK = 1 << 30
"""A message is one block, however this replica packs its own: all replicas make the same."""

CATCHING_UP = "This replica reads what the log holds already: it takes no commands before it has applied that."
UNCERTAIN = "This replica asks the store whether its epoch is still the newest: it takes no commands before it knows."


def log_client(identity: str) -> int:
    """The number under which engines note how far they have read this log."""
    return wire.FIRST_LOG_CLIENT | xxhash.xxh3_64_intdigest(identity.encode()) & 0xFFFF_FFFF


class Replica:
    """Everything that a turn needs, injected. `engine` is where the durable chain ends."""

    def __init__(
        self,
        *,
        engine: Engine,
        ring: Ring,
        endpoint: CommandEndpoint,
        publisher: Publisher,
        board: StatusBoard,
        command_log: CommandLog,
        snapshotter: Snapshotter,
        superseded: Callable[[], Epoch | None],
        known_s: Callable[[], float],
        monotonic: Callable[[], float],
        log_time: LogTime,
        block_commands: int,
        instance: bytes,
    ) -> None:
        """Raises LogUnusable where the log does not hold what comes next."""
        self._engine = engine
        self._ring = ring
        self._endpoint = endpoint
        self._publisher = publisher
        self._board = board
        self._log = command_log
        self._snapshotter = snapshotter
        self._superseded = superseded
        self._known_s = known_s
        self._monotonic = monotonic
        self._caught_up_s: float | None = None
        self._log_time = log_time
        self._client = log_client(command_log.identity)
        self._sequencer = Sequencer(engine, ring, lambda: log_time.now_ns, _COMMANDS_A_BLOCK)
        self._client_batches = ClientBatches(
            log=command_log,
            endpoint=endpoint,
            engine=engine,
            sequencer=self._sequencer,
            board=board,
            block_commands=block_commands,
            instance=instance,
        )
        self._next_offset = engine.clients.get(self._client, 0)
        self._ready_at = command_log.begin(self._next_offset, engine.timestamp_ns)
        self._is_told = False
        board.instance = instance.hex()
        board.is_catching_up = True
        self._look_at_log()

    @property
    def is_catching_up(self) -> bool:
        return self._board.is_catching_up

    def turn(self) -> None:
        """Everything that waits on the sockets and in the log, once. Raises Superseded, LogUnusable."""
        self._stop_if_superseded()
        self._publisher.serve()  # first, as a confirmation makes room for blocks
        self._apply_what_came()
        self._look_at_log()
        if not self._client_batches.is_busy:
            self._client_batches.take(self._endpoint.receive())
        self._publisher.beat()
        self._snapshotter.look(self._engine, self._ring)

    def waits_for(self, commands: Socket, retransmission: Socket) -> list[object]:
        """What may have something to read that this replica would take now."""
        sources: list[object] = [retransmission]
        if not self._client_batches.is_busy:
            sources.append(commands)
        if not self._ring.full:
            sources.append(self._log.arrival)
        return sources

    def _stop_if_superseded(self) -> None:
        newest = self._superseded()
        if newest is not None and newest.number > self._engine.epoch:
            raise Superseded(
                f"Engine {newest.engine} at {newest.commands} has begun epoch {newest.number}: this replica's log does "
                "not count any more, and it stops. Start it again if that engine reads the same log."
            )

    def _look_at_log(self) -> None:
        """Is it there, and has all been applied that it held at the start?"""
        for key in self._log.lost():
            # Perhaps it was done, perhaps not: a refusal would say that it was not. Who sent it asks again.
            self._client_batches.claim(key)
        if self._board.is_catching_up and (self._next_offset >= self._ready_at or self._log.is_at_end()):
            self._finish_catching_up()
        away = self._log.away()
        if bool(away) != self._is_told:
            self._is_told = bool(away)
            if away:
                log.warning("engine.halted", reason=away, block=self._engine.block_number)
            else:
                log.info("engine.resumed", block=self._engine.block_number)
        self._board.waits = away or self._lags()

    def _finish_catching_up(self) -> None:
        """Once the store, asked after all was applied, has named no newer epoch: reading may have taken minutes."""
        if self._caught_up_s is None:
            self._caught_up_s = self._monotonic()
            log.info("replica.caught_up", offset=self._next_offset, block=self._engine.block_number)
        if self._known_s() >= self._caught_up_s:
            self._stop_if_superseded()
            self._board.is_catching_up = False

    def _lags(self) -> str:
        if not self._board.is_catching_up:
            return ""
        return CATCHING_UP if self._caught_up_s is None else UNCERTAIN

    # Out of the log

    def _apply_what_came(self) -> None:
        """As many messages as the ring has room for blocks: what settlement has not confirmed may not be dropped."""
        room = min(self._ring.room, _MESSAGES_A_TURN)
        for message in self._log.read(room) if room > 0 else ():
            if message.offset < self._next_offset:
                continue
            if message.offset > self._next_offset:
                raise LogUnusable(
                    f"The log gave message {message.offset} where message {self._next_offset} comes next: it keeps "
                    "them without gaps. The end of a transaction takes a place too: if a program has written to it so, "
                    "only another log helps (another topic, and --take-over). Else what lies between was lost: mend "
                    "the brokers' data, and start this replica again."
                )
            self._apply(message)
            self._next_offset = message.offset + 1

    def _apply(self, message: Logged) -> None:
        waiting = self._client_batches.claim(message.key)
        batches = self._batches(message)
        taken: list[wire.Batch] = []
        reasons: dict[int, str] = {}  # place of a batch in the message → why it is none
        for place, batch in enumerate(batches):
            try:
                self._engine.check(batch.commands, batch.texts)
                taken.append(batch)
            except BadMessage as error:
                reasons[place] = str(error)
        self._pass_over(message, reasons)
        self._log_time.take(message.time_ns)
        done = self._sequencer.sequence(taken, LogPosition(self._client, message.offset + 1))
        self._tell(done, [one for place, one in enumerate(waiting) if place not in reasons])
        for place, reason in reasons.items():
            for one in waiting[place : place + 1]:
                self._client_batches.refuse(one, wire.BAD_MESSAGE, reason)

    def _batches(self, message: Logged) -> list[wire.Batch]:
        """None for bytes that are no message of ours: every replica passes those over."""
        try:
            batches = frames.decode(message.frame)
        except BadMessage as error:
            self._pass_over(message, {0: str(error)})
            return []
        if isinstance(batches, frames.UnsupportedVersion):
            raise LogUnusable(
                f"Message {message.offset} of the log is of form {batches.version} with layout "
                f"{batches.layout_version}, which this program does not read: let replicas of the version that wrote "
                "it apply it, and settlement take their blocks, before this version is started."
            )
        return batches

    def _pass_over(self, message: Logged, reasons: dict[int, str]) -> None:
        for reason in reasons.values():
            self._board.passed_over += 1
            log.warning("replica.message_skipped", offset=message.offset, reason=reason)

    def _tell(self, done: Sequenced, waiting: Sequence[Waiting]) -> None:
        self._ring.release()
        for block in done.blocks:
            self._board.counters.commands += block.command_count
            self._board.counters.events += block.event_count
        # Answers first: on few cores a reader of blocks that wakes up would keep the client waiting.
        for one, answer in zip(waiting, done.answers, strict=False):
            if isinstance(answer, wire.Refused):
                self._endpoint.refuse(one.sender, answer)
            else:
                self._endpoint.answer(one.sender, answer)
        self._publisher.publish(done.blocks)
        self._ring.index()


def serve(
    replica: Replica,
    publisher: Publisher,
    network: Network,
    sockets: tuple[Socket, Socket],
    ready: Callable[[], object],
    stop: Callable[[], bool],
) -> None:
    """Turns until `stop()`; `ready` is called once the replica takes commands. Raises Superseded, LogUnusable."""
    is_ready = False
    while not stop():
        if not is_ready and not replica.is_catching_up:
            is_ready = True
            ready()
        network.wait(replica.waits_for(*sockets), publisher.idle_s)
        replica.turn()
