"""Replica: one of several engines that read the same command log.

Each replica makes the same blocks, publishes them and answers the clients connected to it. There is no leader and no
election; replicas may stop and restart at any time. The log offset is part of every block, as a request without
commands (`sequencer.LogPosition`), and so of the engine's state: after a restart every message is applied exactly once.
"""

from collections.abc import Callable, Sequence

import structlog
import xxhash

from matching.core.clients import FIRST_LOG_CLIENT, MIGRATION_CLIENT
from matching.core.engine import Engine
from matching.core.epochs import Epoch, Superseded
from matching.core.errors import BadMessage, LogUnusable
from matching.node.block_clock import LogTime
from matching.node.command_endpoint import CommandEndpoint
from matching.node.publisher import Publisher
from matching.node.replicas.client_batches import ClientBatches, Waiting
from matching.node.sequencer import LogPosition, Sequenced, Sequencer
from matching.node.status import StatusBoard
from matching.storage.history import StoredUpTo
from matching.storage.input_logs import frames
from matching.storage.input_logs.base import CommandLog, Logged
from matching.storage.ring import Ring
from matching.storage.snapshot_files import Snapshotter
from matching.transport import wire
from matching.transport.sockets import Network, Socket

log = structlog.get_logger(__name__)

_MESSAGES_A_TURN = 64
_COMMANDS_A_BLOCK = 1 << 30
"""No limit: a message is one block, so that all replicas make the same blocks."""

CATCHING_UP = "This replica is catching up with the log: it takes no commands until it has."
UNCERTAIN = "This replica is asking the store whether its epoch is the newest: it takes no commands until it knows."


def log_client(identity: str) -> int:
    """The reserved client number under which engines record how far they have read this log."""
    number = FIRST_LOG_CLIENT | xxhash.xxh3_64_intdigest(identity.encode()) & 0xFFFF_FFFF
    return min(number, MIGRATION_CLIENT - 1)


class Replica:
    """A replica with injected dependencies. `engine` is at the end of the durable chain."""

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
        stored: Callable[[], StoredUpTo | None],
        known_s: Callable[[], float],
        monotonic: Callable[[], float],
        log_time: LogTime,
        block_commands: int,
        instance: bytes,
    ) -> None:
        """Raises LogUnusable if the log does not have the next message."""
        self._engine = engine
        self._ring = ring
        self._endpoint = endpoint
        self._publisher = publisher
        self._board = board
        self._log = command_log
        self._snapshotter = snapshotter
        self._superseded = superseded
        self._stored = stored
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
        self._next_offset = engine.clients.log_positions.get(self._client, 0)
        self._ready_at = command_log.begin(self._next_offset, engine.timestamp_ns)
        self._is_log_away = False
        board.instance = instance.hex()
        board.is_catching_up = True
        self._check_log()

    @property
    def is_catching_up(self) -> bool:
        return self._board.is_catching_up

    def turn(self) -> None:
        """Handles the messages that wait on the sockets and in the log. Raises Superseded, LogUnusable."""
        self._stop_if_superseded()
        self._publisher.confirmations.note_stored(self._stored())
        self._publisher.serve()  # first, because a confirmation makes room for blocks
        self._apply_messages()
        self._check_log()
        if not self._client_batches.is_busy:
            self._client_batches.take(self._endpoint.receive())
        self._publisher.beat()
        self._snapshotter.advance(self._engine, self._ring)

    def waits_for(self, commands: Socket, retransmission: Socket) -> list[object]:
        """Sources from which this replica would read now."""
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
                f"Engine {newest.engine} at {newest.commands} has begun epoch {newest.number}: this replica's log is "
                "no longer valid, and it stops. Start it again if that engine reads the same log."
            )

    def _check_log(self) -> None:
        """Checks whether the log is available and whether this replica has caught up with it."""
        for key in self._log.lost():
            # It may be applied later or not, so it must not be refused. The client asks again.
            self._client_batches.claim(key)
        if self._board.is_catching_up and (self._next_offset >= self._ready_at or self._log.has_reached_end()):
            self._finish_catching_up()
        away = self._log.away()
        if bool(away) != self._is_log_away:
            self._is_log_away = bool(away)
            if away:
                log.warning("engine.halted", reason=away, block=self._engine.block_number)
            else:
                log.info("engine.resumed", block=self._engine.block_number)
        self._board.waits = away or self._catching_up_reason()

    def _finish_catching_up(self) -> None:
        """Ends catching up once the store, asked afterwards, has no newer epoch: catching up may have taken minutes."""
        if self._caught_up_s is None:
            self._caught_up_s = self._monotonic()
            log.info("replica.caught_up", offset=self._next_offset, block=self._engine.block_number)
        if self._known_s() >= self._caught_up_s:
            self._stop_if_superseded()
            self._board.is_catching_up = False

    def _catching_up_reason(self) -> str:
        if not self._board.is_catching_up:
            return ""
        return CATCHING_UP if self._caught_up_s is None else UNCERTAIN

    # Messages from the log

    def _apply_messages(self) -> None:
        """Applies as many messages as the ring has room for: unconfirmed blocks must not be dropped."""
        room = min(self._ring.room, _MESSAGES_A_TURN)
        for message in self._log.read(room) if room > 0 else ():
            if message.offset < self._next_offset:
                continue
            if message.offset > self._next_offset:
                raise LogUnusable(
                    f"The log returned message {message.offset} instead of message {self._next_offset}: offsets must "
                    "have no gaps. If a program wrote to the log in a transaction, whose end takes an offset, use "
                    "another topic with --take-over. Otherwise messages were lost: restore the brokers' data and start "
                    "this replica again."
                )
            self._apply(message)
            self._next_offset = message.offset + 1

    def _apply(self, message: Logged) -> None:
        waiting = self._client_batches.claim(message.key)
        batches = self._batches(message)
        taken: list[wire.Batch] = []
        reasons: dict[int, str] = {}  # index of a batch in the message → why it is invalid
        for index, batch in enumerate(batches):
            try:
                self._engine.check(batch.commands, batch.texts)
                taken.append(batch)
            except BadMessage as error:
                reasons[index] = str(error)
        self._skip(message, reasons)
        self._log_time.take(message.time_ns)
        done = self._sequencer.sequence(taken, LogPosition(self._client, message.offset + 1))
        self._answer_and_publish(done, [one for index, one in enumerate(waiting) if index not in reasons])
        for index, reason in reasons.items():
            for one in waiting[index : index + 1]:
                self._client_batches.refuse(one, wire.BAD_MESSAGE, reason)

    def _batches(self, message: Logged) -> list[wire.Batch]:
        """The batches of a message, none for invalid bytes, which every replica skips."""
        try:
            batches = frames.decode(message.frame)
        except BadMessage as error:
            self._skip(message, {0: str(error)})
            return []
        if isinstance(batches, frames.UnsupportedVersion):
            raise LogUnusable(
                f"Message {message.offset} of the log has format {batches.version} and layout "
                f"{batches.layout_version}, which this program cannot read: let replicas of the version that wrote it "
                "apply it, and settlement store their blocks; then run manage.py migrate_layout with the newer version."
            )
        return batches

    def _skip(self, message: Logged, reasons: dict[int, str]) -> None:
        for reason in reasons.values():
            self._board.skipped_messages += 1
            log.warning("replica.message_skipped", offset=message.offset, reason=reason)

    def _answer_and_publish(self, done: Sequenced, waiting: Sequence[Waiting]) -> None:
        self._ring.release()
        for block in done.blocks:
            self._board.counters.commands += block.command_count
            self._board.counters.events += block.event_count
        # Answers first: with few cores, a reader of blocks that wakes up would delay them.
        for one, answer in zip(waiting, done.answers, strict=False):
            if isinstance(answer, wire.Refused):
                self._endpoint.refuse(one.sender, answer)
            elif answer is not None:
                self._endpoint.answer(one.sender, answer)
        self._publisher.publish(done.blocks)
        self._ring.index()


def serve(
    replica: Replica,
    endpoint: CommandEndpoint,
    publisher: Publisher,
    network: Network,
    sockets: tuple[Socket, Socket],
    ready: Callable[[], object],
    stop: Callable[[], bool],
) -> None:
    """Runs turns until `stop()`. Calls `ready` once the replica takes commands. Raises Superseded, LogUnusable."""
    is_ready = False
    while not stop():
        if not is_ready and not replica.is_catching_up:
            is_ready = True
            ready()
        network.wait(replica.waits_for(*sockets), min(publisher.idle_s, endpoint.idle_s))
        replica.turn()
