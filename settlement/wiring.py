"""Creates settlement's components from the site's settings.

Besides `scylla_wiring`, no other module of this package reads settings.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import connections

from matching.commandline.engine_addresses import replicas
from matching.commandline.own_keys import SETTLEMENT_KEY, network_of
from matching.core.epochs import Epoch, newest
from matching.core.errors import EngineUnreachable
from matching.storage.disk import LocalDisk
from matching.storage.snapshot_files import SnapshotFolder
from matching.transport.wire import Addresses
from settlement import earlier_store, lock
from settlement.clock import SystemClock
from settlement.durable.spill import Spill
from settlement.errors import CannotRun
from settlement.maintenance import inspection
from settlement.maintenance.inspection import Site
from settlement.maintenance.kept_blocks import Source
from settlement.maintenance.restoring import Place
from settlement.maintenance.rings import ring_at
from settlement.options import Options
from settlement.project.dead_letters import DeadLetters
from settlement.project.trail import Trail
from settlement.receive.replicas import Listening, to_leader, to_replicas
from settlement.stores.base import Store, StoreError, StoreUnavailable, StoreUninitialized
from settlement.stores.released import reading_released
from settlement.stores.sql import read_only
from settlement.stores.sql.errors import restore_sentence
from settlement.stores.sql.store import SqlStore

# On ScyllaDB a request has the rows of one account, so larger batches mean fewer, larger requests.
_BATCH_EVENTS = {"sql": 8192, "scylla": 16_384}

_SNAPSHOTS_KEPT = 2


def store(name: str | None = None, timeout_ms: int | None = None) -> Store:
    """The store of SETTLEMENT_STORE, or `name`; not connected yet. Raises CannotRun.

    `timeout_ms`: a shorter time-out for callers that retry.
    """
    return reading_released(hot_store(name, timeout_ms))


def hot_store(name: str | None = None, timeout_ms: int | None = None) -> Store:
    """As `store`, without the rows that are released to the archive. Raises CannotRun."""
    name = name or settings.SETTLEMENT_STORE
    if name == "sql":
        return _sql_store(timeout_ms)
    if name == "scylla":
        from settlement import scylla_wiring

        return scylla_wiring.store(_sql_store(timeout_ms), timeout_ms)
    raise CannotRun(f"There is no store {name!r}: SETTLEMENT_STORE is sql or scylla.")


def _sql_store(timeout_ms: int | None) -> SqlStore:
    slow_query_ms = settings.SETTLEMENT_SLOW_QUERY_MS
    return SqlStore("default", slow_query_ms, timeout_ms, lambda: earlier_store.evidence_in(data_dir()))


@contextmanager
def store_to_read() -> Iterator[Store]:
    """The store of SETTLEMENT_STORE for a process that must not create or change anything. Raises CannotRun."""
    with read_only.opened("default", settings.SETTLEMENT_SLOW_QUERY_MS) as tables:
        if settings.SETTLEMENT_STORE == "scylla":
            from settlement import scylla_wiring

            yield reading_released(scylla_wiring.store(tables))
        else:
            yield reading_released(tables)


def site(access: Callable[[], tuple[str, str] | None]) -> Site:
    """Where everything is kept, for the doctor."""
    is_sql, file = settings.SETTLEMENT_STORE == "sql", read_only.file_of()
    if is_sql:
        name = str(file or f"of DATABASE_URL ({settings.DATABASES['default']['NAME']})")
    else:
        name = f"of SCYLLA_HOSTS ({settings.SCYLLA_KEYSPACE})"
    return Site(data_dir(), store_to_read, name, file if is_sql else None, settings.INPUT_LOG, access, _lock_owner)


def place(store: Store, leader: Epoch) -> Place:
    """Where a command restores to. `leader`: the engine of this DATA_DIR."""
    return Place(store, data_dir(), trail, dead_letters(store), SystemClock(), options(), leader)


def rings(addresses: Sequence[str]) -> list[Source]:
    """The rings of these engines; without addresses, that of the engine of this DATA_DIR, if it runs and answers.

    Raises EngineUnreachable, AddressUnusable, KeysUnusable.
    """
    if addresses:
        make_network = network_of(SETTLEMENT_KEY)
        return [ring_at(address, make_network) for address in addresses]
    if inspection.engine_runs(data_dir()):
        with suppress(EngineUnreachable):
            return [ring_at(settings.ENGINE_COMMAND_ADDRESS, network_of(SETTLEMENT_KEY))]
    return []


def worker_store(name: str | None = None) -> Store:
    """The worker's store, with a short time-out: the worker retries, and receives no blocks during a call."""
    return store(name, settings.SETTLEMENT_STORE_TIMEOUT_MS)


def projection_store(appending: Store, name: str | None = None) -> Store:
    """The store of the thread that projects, beside that of the worker, `appending`. Raises CannotRun.

    In SQL they share one, in which appends go first. On ScyllaDB a store keeps the state of its own batches.
    """
    return appending if (name or settings.SETTLEMENT_STORE) == "sql" else worker_store(name)


def ping_and_close(store: Store) -> bool:
    """Pings the store from a short-lived thread, and closes the thread's connections. Raises StoreError."""
    try:
        store.ping()
        return True
    finally:
        connections.close_all()


@contextmanager
def reading_thread() -> Iterator[Executor | None]:
    """A thread that reads the store beside this one.

    None within a transaction of this thread, whose rows another one does not see.
    """
    if connections["default"].in_atomic_block:
        yield None
        return
    with ThreadPoolExecutor(1, "reading") as thread:
        try:
            yield thread
        finally:
            thread.submit(connections.close_all).result()


def store_lock(name: str | None = None) -> AbstractContextManager[lock.StoreLock]:
    """The lock of the store of SETTLEMENT_STORE, or `name`, for a process that writes blocks or rebuilds projections.

    Raises AlreadyRunning, CannotRun, StoreError.
    """
    return lock.of_store("default") if (name or settings.SETTLEMENT_STORE) == "sql" else _keyspace_lock()


@contextmanager
def _keyspace_lock() -> Iterator[lock.StoreLock]:
    from settlement import scylla_wiring

    make_tables_if_missing(store("scylla"))  # the lock is a row
    with lock.of_lease(scylla_wiring.lease(), f"the store in the keyspace {settings.SCYLLA_KEYSPACE}") as held:
        yield held


def _lock_owner() -> str:
    """The process that holds the store's lock, "" if none does or the store does not answer."""
    if settings.SETTLEMENT_STORE == "sql":
        return lock.owner_in_database("default")
    from settlement import scylla_wiring

    try:
        return lock.name_of(scylla_wiring.lease().owner())
    except StoreError:
        return ""


def make_tables_if_missing(store: Store) -> None:
    """Creates the tables of a new store, and those that an older version did not have, for the process that writes.

    Does nothing if the store is unavailable. Raises StoreMisconfigured if a table was dropped, with its rows.
    """
    try:
        store.ping()
        store.identity()  # its table is newer than the others, and so are the following three
        store.key_register()
        next(store.signed_checkpoints(0), None)
        store.carry_over()
    except StoreUninitialized:
        store.init()
        store.carry_over()
    except StoreUnavailable:
        return


def refuse_lost_database() -> None:
    """For a command that creates a missing database. Raises CannotRun if the SQLite file is lost, not new."""
    file = read_only.file_of()
    if file is None or file.exists():
        return
    if evidence := earlier_store.evidence_in(data_dir()):
        text = f"The database file {file} is missing"
        raise CannotRun(restore_sentence(text, evidence))


def refuse_missing_database() -> None:
    """For a command that only reads, and that needs a database. Raises CannotRun if the SQLite file does not exist."""
    file = read_only.file_of()
    if file is not None and not file.exists():
        raise CannotRun(f"There is no database in {file}.")


def data_dir() -> Path:
    return Path(settings.DATA_DIR)


def trail() -> Trail:
    """Raises TrailUnusable."""
    return Trail(data_dir())


def spill_folder() -> Path:
    return data_dir() / "spill"


def spill() -> Spill:
    """Raises SpillDamaged, SpillUnusable."""
    return Spill(spill_folder(), settings.SETTLEMENT_SPILL_BYTES)


def snapshots() -> SnapshotFolder:
    """Of settlement's own engine. Without them the blocks of today's rules are executed from the first one on."""
    return SnapshotFolder(LocalDisk(), data_dir() / "settlement-snapshots", _SNAPSHOTS_KEPT)


def dead_letters(store: Store) -> DeadLetters:
    return DeadLetters(store, data_dir(), SystemClock())


def options(until_block: int | None = None, store: str | None = None) -> Options:
    """The options for the store of SETTLEMENT_STORE, or `store`."""
    return Options(
        batch_trades=settings.SETTLEMENT_BATCH_TRADES,
        batch_ms=settings.SETTLEMENT_BATCH_MS,
        batch_events=_BATCH_EVENTS[store or settings.SETTLEMENT_STORE],
        until_block=until_block,
    )


def newest_epoch(open_store: Callable[[], Store] = store) -> Epoch | None:
    """The newest epoch in the store; None if there is none or the store does not answer."""
    try:
        return newest(open_store().epochs())
    except (CannotRun, StoreError):
        return None


def engines(open_store: Callable[[], Store] = store) -> str:
    """Command addresses separated by commas: those of the settings, and that of the current leader."""
    leader = newest_epoch(open_store)
    return ",".join(dict.fromkeys([*replicas(), *([leader.commands] if leader else [])]))


def listening() -> Listening:
    """Raises AddressUnusable, KeysUnusable."""
    make_network = network_of(SETTLEMENT_KEY)
    if settings.INPUT_LOG == "kafka":
        return to_replicas(replicas(), make_network)
    return to_leader(
        Addresses(settings.ENGINE_COMMAND_ADDRESS, settings.ENGINE_BLOCK_ADDRESS, settings.ENGINE_RETRANSMIT_ADDRESS),
        make_network,
    )


def collect_garbage_rarely() -> None:
    """Makes garbage collection rare, for commands that project: they create many rows and no reference cycles.

    Named tuples are tracked by the collector, which with the default thresholds takes as long as the projection.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
