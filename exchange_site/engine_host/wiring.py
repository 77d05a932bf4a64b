"""Creates the parts of an engine from settings and options: addresses, ring, input log, history, snapshots, health."""

import os
import resource
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import structlog
from django.conf import settings

from exchange_site.engine_host.forked import ForkedAnswers, ForkedWriter
from exchange_site.engine_host.store_history import StoreHistory
from exchange_site.engine_host.store_watch import StoreWatch
from exchange_site.operations import health
from exchange_site.operations.register_exchange import RegisterExchange
from matching.commandline.own_keys import SETTLEMENT_KEY, engine_key, network_of, register_file
from matching.core.epochs import Epoch, newest
from matching.core.errors import EngineUnreachable, FolderInUse
from matching.feed.reader import Feed
from matching.node.process import Parts, Plan
from matching.node.services import Services
from matching.storage.disk import LocalDisk
from matching.storage.folder_lock import FolderLock
from matching.storage.input_logs import kafka_topic
from matching.storage.input_logs.base import InputLog
from matching.storage.input_logs.kafka import KafkaLog
from matching.storage.input_logs.memory import MemoryLog
from matching.storage.input_logs.wal import WalLog
from matching.storage.snapshot_files import SnapshotFolder, Snapshotter
from matching.transport.listening.connections import ConnectionCounts, ConnectionLimits
from matching.transport.wire import Addresses
from settlement import wiring
from settlement.durable import spill
from settlement.durable.claim import Claim
from settlement.errors import AlreadyRunning
from settlement.stores.base import Store

log = structlog.get_logger(__name__)

_LOOP_TIMEOUT_S = 2.0
_ANSWER_S = 2.0
_LOCK = "engine.lock"
_ENGINE_ID = "engine-id"
_ENGINE_ID_BYTES = 8
_INSTANCE_BYTES = 8


class NotAvailable(Exception):
    """The options cannot be combined or are not supported; the text is one sentence."""


def plan() -> Plan:
    addresses = Addresses(
        settings.ENGINE_COMMAND_ADDRESS, settings.ENGINE_BLOCK_ADDRESS, settings.ENGINE_RETRANSMIT_ADDRESS
    )
    return Plan(
        addresses,
        settings.ENGINE_RING_BLOCKS,
        settings.ENGINE_RING_BYTES,
        settings.ENGINE_BLOCK_COMMANDS,
        touched_orders=settings.ENGINE_TOUCHED_ORDERS,
        reader_bytes_a_second=settings.ENGINE_READER_BYTES_A_SECOND,
    )


def connection_limits() -> ConnectionLimits:
    unacknowledged = settings.ENGINE_UNACKNOWLEDGED_BYTES
    return ConnectionLimits(
        unacknowledged_bytes=unacknowledged,
        total_unacknowledged_bytes=2 * unacknowledged,
        connections=settings.ENGINE_CONNECTIONS,
    )


def raise_file_limit() -> None:
    """Lets this process open as many files as the system allows it: each connection needs one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def lock_data_folder() -> FolderLock:
    """Locks DATA_DIR for this engine until the lock is closed or the process ends. Raises FolderInUse, OSError.

    In every role: the folder contains snapshots and the engine's id, and a follower can become the leader.
    """
    lock = FolderLock(LocalDisk(), settings.DATA_DIR / _LOCK, f"the folder {settings.DATA_DIR}")
    lock.hold()
    return lock


@contextmanager
def no_engine(store: Store) -> Iterator[None]:
    """Keeps engines of this DATA_DIR from starting. Raises AlreadyRunning if one runs, here or at the leader's address.

    Raises StoreError, KeysUnusable, OSError.
    """
    try:
        held = lock_data_folder()
    except FolderInUse as error:
        raise AlreadyRunning(f"An engine runs in {settings.DATA_DIR}: stop it first.") from error
    try:
        leader = newest(store.epochs())
        if leader is not None and _answers(leader.commands):
            raise AlreadyRunning(f"The engine at {leader.commands} runs: stop it first.")
        yield
    finally:
        held.close()


def _answers(address: str) -> bool:
    try:
        Feed.discover(address, _ANSWER_S, make_network=network_of(SETTLEMENT_KEY)).close()
    except EngineUnreachable:
        return False
    return True


def services(
    *,
    input_log: str | None,
    snapshot_every: int | None,
    take_over: bool,
    follows: bool,
    history: StoreHistory,
    watch: StoreWatch,
) -> Services:
    """The engine's interfaces to this machine and to the store. Raises NotAvailable, KeysUnusable, OSError."""
    folder = snapshots()
    every_blocks = settings.ENGINE_SNAPSHOT_BLOCKS if snapshot_every is None else snapshot_every
    if every_blocks < 0:
        raise NotAvailable("--snapshot-every must be a number of blocks, or 0 for no snapshots.")
    connections = ConnectionCounts()
    return Services(
        history=history,
        input_log=_open_input_log(input_log),
        snapshotter=Snapshotter(folder, ForkedWriter(folder), every_blocks),
        answer_maker=ForkedAnswers(),
        make_network=partial(network_of(engine_key(follows=follows)), limits=connection_limits(), counts=connections),
        connections=connections,
        monotonic=time.monotonic,
        time_ns=time.time_ns,
        engine=_engine_id(),
        superseded=lambda: watch.newest,
        stored=lambda: watch.stored,
        known_s=lambda: watch.known_s,
        take_over=take_over,
    )


def snapshots() -> SnapshotFolder:
    """Of the engine's state."""
    return SnapshotFolder(LocalDisk(), settings.DATA_DIR / "snapshots", settings.ENGINE_SNAPSHOTS_KEPT)


def history() -> StoreHistory:
    """Raises CannotRun."""
    folder = wiring.spill_folder()
    return StoreHistory(wiring.store(), lambda: spill.peek(folder), Claim(folder, f"engine-{os.getpid()}"))


def store_watch() -> StoreWatch:
    """Raises CannotRun, KeysUnusable."""
    if settings.PLAIN_SOCKETS:
        return StoreWatch(wiring.store())
    return StoreWatch(wiring.store(), pass_on=RegisterExchange(register_file()).pass_on)


def input_log_name(option: str | None) -> str:
    """`memory`, `wal` or `kafka`: the option if given, else the setting."""
    return option or ("wal" if settings.ENABLE_LOCAL_WAL else str(settings.INPUT_LOG))


def command_log() -> KafkaLog:
    """The log that all replicas share. Raises NotAvailable, LogNotReady."""
    servers = settings.KAFKA_BOOTSTRAP_SERVERS
    if not servers:
        raise NotAvailable("The Kafka input log needs KAFKA_BOOTSTRAP_SERVERS: name at least one HOST:PORT.")
    options = settings.KAFKA_OPTIONS
    return KafkaLog(servers, kafka_topic.find(servers, settings.KAFKA_COMMAND_TOPIC, options), options)


def warn_if_unlisted() -> None:
    """Warns if ENGINE_REPLICAS lacks this replica: settlement confirms nothing to one that it does not know.

    Not an error: settlement may use another address of it, such as the end of a tunnel.
    """
    own = settings.ENGINE_COMMAND_ADDRESS
    if settings.ENGINE_REPLICAS and own not in settings.ENGINE_REPLICAS:
        log.warning("engine.replica_not_listed", address=own, setting="ENGINE_REPLICAS")


def instance() -> bytes:
    """A random id of this process."""
    return secrets.token_bytes(_INSTANCE_BYTES)


def leader() -> Epoch:
    """The engine of this DATA_DIR as the leader of an epoch that is still to be numbered. Raises OSError."""
    where = plan().addresses
    return Epoch(0, 0, 0, _engine_id(), where.commands, where.blocks, where.retransmission, time.time_ns())


def _open_input_log(option: str | None) -> InputLog:
    """The input log of this engine alone. Replicas share theirs: see `command_log`."""
    folder = settings.DATA_DIR / "wal"
    return WalLog(folder) if input_log_name(option) == "wal" else MemoryLog(folder)


def _engine_id() -> str:
    """The id of the engine of this DATA_DIR, created on first use. Raises OSError."""
    path = settings.DATA_DIR / _ENGINE_ID
    if not path.exists():
        LocalDisk().write_whole(path, f"{secrets.token_hex(_ENGINE_ID_BYTES)}\n".encode("ascii"))
    return path.read_text(encoding="ascii", errors="replace").strip()


def probes(parts: Parts) -> Mapping[str, health.Probe]:
    """Readiness checks: the loop is running; a leader takes commands, a follower receives messages of its leader."""
    loop = health.timed(lambda: time.monotonic() - parts.publisher.last_beat_s < _LOOP_TIMEOUT_S)
    return health.CurrentProbes(lambda: {"loop": loop, **_of_role(parts)})


def _of_role(parts: Parts) -> Mapping[str, health.Probe]:
    follower = parts.follower
    if follower is not None:
        return {"following": health.timed(follower.leader_is_alive)}
    return {"taking_input": health.timed(lambda: not parts.board.halted)}
