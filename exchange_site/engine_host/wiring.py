"""From settings and options to an engine's parts: addresses, ring, input log, history, snapshots, health."""

import os
import secrets
import time
from collections.abc import Mapping

import structlog
from django.conf import settings

from exchange_site.engine_host.epoch_watch import EpochWatch
from exchange_site.engine_host.forked_snapshots import ForkedWriter
from exchange_site.engine_host.store_history import StoreHistory
from exchange_site.operations import health
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
from matching.transport.sockets import ZmqNetwork
from matching.transport.wire import Addresses
from settlement import wiring
from settlement.durable import spill
from settlement.durable.claim import Claim

log = structlog.get_logger(__name__)

_STUCK_S = 2.0
_LOCK = "engine.lock"
_ENGINE_ID = "engine-id"
_ENGINE_ID_BYTES = 8
_INSTANCE_BYTES = 8


class NotAvailable(Exception):
    """An option that this version cannot honour; its text is one sentence."""


def plan() -> Plan:
    addresses = Addresses(
        settings.ENGINE_COMMAND_ADDRESS, settings.ENGINE_BLOCK_ADDRESS, settings.ENGINE_RETRANSMIT_ADDRESS
    )
    return Plan(addresses, settings.ENGINE_RING_BLOCKS, settings.ENGINE_RING_BYTES, settings.ENGINE_BLOCK_COMMANDS)


def own_folder() -> FolderLock:
    """DATA_DIR is this engine's alone, until it closes this or dies. Raises FolderInUse, OSError.

    Whatever its role: snapshots and the name that an engine leads by lie there, and a follower may come to lead.
    """
    lock = FolderLock(LocalDisk(), settings.DATA_DIR / _LOCK, f"the folder {settings.DATA_DIR}")
    lock.hold()
    return lock


def services(
    *, input_log: str | None, snapshot_every: int | None, take_over: bool, history: StoreHistory, watch: EpochWatch
) -> Services:
    """What an engine needs of this machine and of the store. Raises NotAvailable, OSError."""
    folder = SnapshotFolder(LocalDisk(), settings.DATA_DIR / "snapshots", settings.ENGINE_SNAPSHOTS_KEPT)
    every_blocks = settings.ENGINE_SNAPSHOT_BLOCKS if snapshot_every is None else snapshot_every
    if every_blocks < 0:
        raise NotAvailable("--snapshot-every is a number of blocks, or 0 for none.")
    return Services(
        history=history,
        input_log=_open_input_log(input_log),
        snapshotter=Snapshotter(folder, ForkedWriter(folder), every_blocks),
        make_network=ZmqNetwork,
        monotonic=time.monotonic,
        time_ns=time.time_ns,
        engine=_engine_id(),
        superseded=lambda: watch.newest,
        known_s=lambda: watch.known_s,
        take_over=take_over,
    )


def history() -> StoreHistory:
    """Raises CannotRun."""
    folder = wiring.spill_folder()
    return StoreHistory(wiring.store(), lambda: spill.peek(folder), Claim(folder, f"engine-{os.getpid()}"))


def epoch_watch() -> EpochWatch:
    """Raises CannotRun."""
    return EpochWatch(wiring.store())


def input_log_name(option: str | None) -> str:
    """Memory, wal or kafka: what the option names, or else the settings."""
    return option or ("wal" if settings.ENABLE_LOCAL_WAL else str(settings.INPUT_LOG))


def command_log() -> KafkaLog:
    """The log that all replicas share. Raises NotAvailable, LogNotReady."""
    servers = settings.KAFKA_BOOTSTRAP_SERVERS
    if not servers:
        raise NotAvailable("The Kafka input log needs KAFKA_BOOTSTRAP_SERVERS: name at least one HOST:PORT.")
    options = settings.KAFKA_OPTIONS
    return KafkaLog(servers, kafka_topic.find(servers, settings.KAFKA_COMMAND_TOPIC, options), options)


def warn_if_unlisted() -> None:
    """A replica that settlement does not know of fills its ring. It may be known by a tunnel's address, though."""
    own = settings.ENGINE_COMMAND_ADDRESS
    if settings.ENGINE_REPLICAS and own not in settings.ENGINE_REPLICAS:
        log.warning("ENGINE_REPLICAS does not name this replica: settlement has to, by this or a tunnel's", address=own)


def instance() -> bytes:
    """A name for this process that no other one has."""
    return secrets.token_bytes(_INSTANCE_BYTES)


def _open_input_log(option: str | None) -> InputLog:
    """What belongs to this engine alone: a replica has nothing of its own."""
    folder = settings.DATA_DIR / "wal"
    return WalLog(folder) if input_log_name(option) == "wal" else MemoryLog(folder)


def _engine_id() -> str:
    """The name that tells this DATA_DIR's engine from others, made when it is first asked for. Raises OSError."""
    path = settings.DATA_DIR / _ENGINE_ID
    if not path.exists():
        LocalDisk().write_whole(path, f"{secrets.token_hex(_ENGINE_ID_BYTES)}\n".encode("ascii"))
    return path.read_text(encoding="ascii", errors="replace").strip()


def probes(parts: Parts) -> Mapping[str, health.Probe]:
    """Whether the loop turns, and whether commands are taken; of a follower, which takes none, if its leader lives."""
    loop = health.timed(lambda: time.monotonic() - parts.publisher.last_beat_s < _STUCK_S)
    return health.Changing(lambda: {"loop": loop, **_of_role(parts)})


def _of_role(parts: Parts) -> Mapping[str, health.Probe]:
    follower = parts.follower
    if follower is not None:
        return {"following": health.timed(follower.leader_lives)}
    return {"taking_input": health.timed(lambda: not parts.board.halted)}
