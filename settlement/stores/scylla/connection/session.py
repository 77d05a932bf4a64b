"""The connection to ScyllaDB or Cassandra.

Each process has one connection. It is opened when it is first needed, and replaced if no node has answered on it for
some time. Requests are prepared statements, several in flight; each is timed and counted. The driver's exceptions are
translated into those of the store contract. A forked process opens its own connection and does not touch its parent's,
because the driver's threads do not exist in the child.
"""

import atexit
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import structlog
from cassandra import ConsistencyLevel, OperationTimedOut
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, NoHostAvailable
from cassandra.connection import ConnectionException
from cassandra.cqlengine import connection as registry
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, HostStateListener, TokenAwarePolicy
from cassandra.query import tuple_factory
from django_cassandra_engine.connection import CassandraConnection

from settlement.stores.base import StoreMisconfigured, StoreUnavailable, StoreUninitialized
from settlement.stores.scylla.batches import PackedBatch, PackingHandler
from settlement.stores.scylla.connection.errors import DRIVER_ERRORS, translated
from settlement.stores.scylla.connection.exit import end_event_loop
from settlement.stores.scylla.tables.layout import COLUMNS, Column, is_upgradable, mismatch, missing
from settlement.stores.timing import StatementTimes

log = structlog.get_logger(__name__)
# The driver logs each failed attempt with a traceback; this module reports its errors instead.
logging.getLogger("cassandra").setLevel(logging.CRITICAL)

Row = tuple[Any, ...]

PAGE = 1000
"""Rows that an iterator holds at a time."""
FIRST_PAGE = 64
"""Size of an iterator's first page, enough for a page of the back office. Later pages double in size up to PAGE."""

_SILENT_S = 10.0
"""After this time without an answer of any node the connection is replaced: one rejected login is enough for the driver
to stop reconnecting."""
_RECONNECT_S = 1.0  # the driver's default waits up to ten minutes after a long outage

_PROFILE = "settlement"  # execution profile; cqlengine configures the default one for itself


@dataclass(frozen=True)
class Access:
    """Addresses of the servers, and the parameters of connections and requests."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    port: int = 9042
    keyspace: str = "exchange_settlement"
    replication: str = "{'class': 'SimpleStrategy', 'replication_factor': 1}"  # CQL map, for `init`
    username: str = ""
    password: str = field(default="", repr=False)
    local_dc: str = ""  # empty: the data centre of the first host
    consistency: str = "LOCAL_QUORUM"
    timeout_ms: int = 10_000  # of one request
    in_flight: int = 16  # concurrent requests

    @property
    def serial_consistency(self) -> int:
        """The consistency level of lightweight transactions: local if `consistency` is."""
        is_local = self.consistency.startswith("LOCAL_")
        return int(ConsistencyLevel.LOCAL_SERIAL if is_local else ConsistencyLevel.SERIAL)

    @property
    def servers(self) -> str:
        return f"ScyllaDB at {','.join(self.hosts)} port {self.port}"


class _NodeStateLogger(HostStateListener):  # type: ignore[misc] # ships no types
    def on_up(self, host: Any) -> None:
        log.info("store.node_up", node=str(host.endpoint))

    def on_down(self, host: Any) -> None:
        log.warning("store.node_down", node=str(host.endpoint))

    def on_add(self, host: Any) -> None:
        log.info("store.node_joined", node=str(host.endpoint))

    def on_remove(self, host: Any) -> None:
        log.warning("store.node_left", node=str(host.endpoint))


class _Connection:
    """A session of the driver and its prepared statements."""

    def __init__(self, access: Access, timeout_s: float) -> None:
        self._name = name = f"scylla-{os.getpid()}-{next(_numbers)}"
        # Not `django.db.connections`: Django would connect at the end of each web request, and before workers fork.
        options = {"connection": cluster_options(access, timeout_s)}
        login = {"USER": access.username, "PASSWORD": access.password}
        CassandraConnection(name, HOST=",".join(access.hosts), NAME=access.keyspace, OPTIONS=options, **login)
        self.session = registry.get_session(name)
        self.session.client_protocol_handler = PackingHandler
        registry.get_cluster(name).register_listener(_NodeStateLogger())
        self._prepared: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._has_keyspace = False
        self._silent_since_s: float | None = None
        self.replacing = threading.Lock()  # not a lock of the module, which could be held while the process forks

    def close(self) -> None:
        registry.unregister_connection(self._name)

    def record_outcome(self, error: Exception | None) -> None:
        """Records whether any node could be reached. A time-out is ignored, because the node may only be slow."""
        if _is_silence(error):
            if self._silent_since_s is None:
                self._silent_since_s = time.monotonic()
        elif not isinstance(error, OperationTimedOut):
            self._silent_since_s = None

    def may_be_lost(self) -> bool:
        """Whether no node has answered for _SILENT_S. True for one caller only, and again after the same time."""
        since_s, now_s = self._silent_since_s, time.monotonic()
        if since_s is None or now_s - since_s < _SILENT_S:
            return False
        with self._lock:
            is_first = self._silent_since_s == since_s
            if is_first:
                self._silent_since_s = now_s
            return is_first

    def prepare(self, access: Access, statement: str) -> Any:
        prepared = self._prepared.get(statement)
        if prepared is None:
            with self._lock:
                if not self._has_keyspace:
                    self._use(access.keyspace)
                    self._has_keyspace = True
                try:
                    prepared = self._prepared[statement] = self.session.prepare(statement)
                except NoHostAvailable as error:
                    self.record_outcome(error)
                    raise
                prepared.is_idempotent = True
        return prepared

    def _use(self, keyspace: str) -> None:
        self.session.set_keyspace(keyspace)
        columns = [Column(*row) for row in self.session.execute(COLUMNS, (keyspace,), execution_profile=_PROFILE)]
        difference = mismatch(columns)
        if difference is not None:
            raise StoreMisconfigured(f"Keyspace {keyspace} was created by another version: its {difference}.")
        tables = missing(columns)
        if tables:
            kind = StoreUninitialized if is_upgradable(columns) else StoreMisconfigured
            raise kind(
                f"Keyspace {keyspace} lacks {', '.join(tables)}: manage.py init_store creates keyspace and tables."
            )


def _is_silence(error: Exception | None) -> bool:
    """Whether no node could be reached."""
    if not isinstance(error, NoHostAvailable):
        return False
    by_node = error.errors.values() if isinstance(error.errors, dict) else error.errors
    return all(isinstance(one, ConnectionException | OSError) for one in by_node)


def cluster_options(access: Access, timeout_s: float) -> dict[str, Any]:
    policy = TokenAwarePolicy(DCAwareRoundRobinPolicy(access.local_dc))

    def profile(**more: Any) -> ExecutionProfile:
        return ExecutionProfile(
            load_balancing_policy=policy,
            consistency_level=ConsistencyLevel.name_to_value[access.consistency],
            serial_consistency_level=access.serial_consistency,
            request_timeout=timeout_s,
            **more,
        )

    return {
        "port": access.port,
        "protocol_version": 4,  # the newest that both servers support; `batches` serializes for this version
        "compression": False,  # rows have about 100 bytes; compression costs more CPU time than it saves on the network
        # Without it a batch takes about 40 ms longer: it is sent in several writes, delayed by Nagle's algorithm.
        "sockopts": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        # Not the time-out of a request: a connection is opened once, and a login takes longer than a request.
        "connect_timeout": access.timeout_ms / 1000,
        "control_connection_timeout": access.timeout_ms / 1000,
        "reconnection_policy": ConstantReconnectionPolicy(_RECONNECT_S, max_attempts=None),
        "execution_profiles": {EXEC_PROFILE_DEFAULT: profile(), _PROFILE: profile(row_factory=tuple_factory)},
    }


_connected: dict[tuple[int, Access], _Connection] = {}
_connecting = threading.Lock()
_numbers = count()


@atexit.register  # registered after the driver's handler, so it runs before that
def _close_all() -> None:
    for (pid, _), connected in list(_connected.items()):
        if pid == os.getpid():
            connected.close()
    end_event_loop()


class Session:
    """Runs statements on one keyspace. Thread-safe."""

    def __init__(self, access: Access, slow_query_ms: float = 100, timeout_ms: int | None = None) -> None:
        """`timeout_ms` of one request; None: that of `access`."""
        self.access = access
        self._times = StatementTimes(slow_query_ms)
        self._timeout_s = (access.timeout_ms if timeout_ms is None else timeout_ms) / 1000

    def open(self) -> _Connection:
        """The process's connection. Raises StoreUnavailable, StoreRejected."""
        key = (os.getpid(), self.access)
        found = _connected.get(key)
        if found is None:
            with self.translating(), _connecting:
                found = _connected.get(key)
                if found is None:
                    found = _connected[key] = _Connection(self.access, self._timeout_s)
        elif found.may_be_lost():
            # In a thread, because connecting takes until the time-out while the servers are unreachable.
            threading.Thread(target=self._replace, args=(key, found), name="scylla-replace", daemon=True).start()
        return found

    def _replace(self, key: tuple[int, Access], lost: _Connection) -> None:
        """Opens a new connection and then closes the lost one, which may recover until then."""
        if not lost.replacing.acquire(blocking=False):
            return
        try:
            if _connected[key] is not lost:
                return
            _connected[key] = _Connection(self.access, self._timeout_s)
        except DRIVER_ERRORS as error:
            log.warning("store.reconnect_failed", error=str(translated(error, self.access.servers)))
            return
        finally:
            lost.replacing.release()
        log.warning("store.connection_replaced", servers=self.access.servers)
        lost.close()

    def rows(self, statement: str, parameters: Sequence[Any] = (), is_serial: bool = False) -> list[Row]:
        """`is_serial`: reads the result of every lightweight transaction on these rows that began earlier."""
        with self.translating():
            return list(self._request(statement, parameters, is_serial=is_serial).result())

    def rows_concurrently(self, *requests: tuple[str, Sequence[Any]]) -> list[list[Row]]:
        """The rows of each request; all are sent before the first answer is awaited."""
        with self.translating():
            futures = [self._request(statement, parameters) for statement, parameters in requests]
        return [self._answer(future) for future in futures]

    def one(self, statement: str, parameters: Sequence[Any] = ()) -> Row | None:
        found = self.rows(statement, parameters)
        return found[0] if found else None

    def iterate(self, statement: str, parameters: Sequence[Any] = (), first: int | None = None) -> Iterator[Row]:
        """The rows, read by pages: `first` rows (default FIRST_PAGE) in the first page, up to PAGE in later ones."""
        first = first or FIRST_PAGE
        with self.translating():
            future = self._request(statement, parameters, page_rows=first)
        yield from self._pages(future, statement, parameters, first)

    def iterate_many(self, statement: str, parameters: Sequence[Sequence[Any]]) -> list[Iterator[Row]]:
        """As `iterate` for each; their first pages are requested concurrently."""
        futures: list[Any] = []
        for index, values in enumerate(parameters):
            with self.translating():
                if index >= self.access.in_flight:
                    futures[index - self.access.in_flight].result()
                futures.append(self._request(statement, values, page_rows=FIRST_PAGE))
        return [
            self._pages(one, statement, values, FIRST_PAGE) for one, values in zip(futures, parameters, strict=True)
        ]

    def _pages(self, future: Any, statement: str, parameters: Sequence[Any], size: int) -> Iterator[Row]:
        """Requests each page here, because the driver's own paging would not be timed and counted."""
        while True:
            with self.translating():
                answer = future.result()
            yield from answer.current_rows
            if answer.paging_state is None:
                return
            size = min(2 * size, PAGE)
            with self.translating():
                future = self._request(statement, parameters, page_rows=size, paging_state=answer.paging_state)

    def many(self, statement: str, parameters: Iterable[Sequence[Any]]) -> Iterator[list[Row]]:
        """The rows of each, in order; up to `in_flight` requests are sent ahead."""
        waiting: deque[Any] = deque()
        for values in parameters:
            with self.translating():
                waiting.append(self._request(statement, values))
            if len(waiting) >= self.access.in_flight:
                yield self._answer(waiting.popleft())
        while waiting:
            yield self._answer(waiting.popleft())

    def run(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        self.rows(statement, parameters)

    def run_many(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        for _ in self.many(statement, parameters):
            pass

    def run_plain(self, statement: str) -> None:
        """Runs a statement that cannot be prepared. Creating a table takes longer than other statements."""
        with self.translating():
            self.open().session.execute(statement, timeout=max(self._timeout_s, 30))

    def keyspaces(self) -> dict[str, dict[str, str]]:
        """The existing keyspaces and the replication of each."""
        with self.translating():
            query = "SELECT keyspace_name, replication FROM system_schema.keyspaces"
            return {
                name: dict(replication)
                for name, replication in self.open().session.execute(query, execution_profile=_PROFILE)
            }

    def query_id(self, statement: str) -> bytes:
        with self.translating():
            prepared = self.open().prepare(self.access, statement)
        return bytes(prepared.query_id)

    def send(self, batches: Iterable[PackedBatch], in_flight: int | None = None) -> None:
        """Writes all batches; all are durable when this returns, and some may be when it raises.

        `in_flight`: concurrent requests; None: that of `access`.
        """
        in_flight = in_flight or self.access.in_flight
        waiting: deque[Any] = deque()
        try:
            for batch in batches:
                with self.translating():
                    waiting.append(self._send_batch(batch))
                if len(waiting) >= in_flight:
                    self._answer(waiting.popleft())
        finally:
            # Also after a failure: requests in flight must not overtake the writes of a retry.
            failures = [error for error in map(self._failure, waiting) if error is not None]
        if failures:
            raise failures[0]

    def _failure(self, future: Any) -> Exception | None:
        try:
            future.result()
        except DRIVER_ERRORS as error:
            return translated(error, self.access.servers)
        return None

    def _answer(self, future: Any) -> list[Row]:
        with self.translating():
            return list(future.result())

    def _request(
        self,
        statement: str,
        parameters: Sequence[Any],
        *,
        is_serial: bool = False,
        page_rows: int | None = None,
        paging_state: bytes | None = None,
    ) -> Any:
        """`page_rows`: None: the driver's default. `paging_state`: the end of the previous page."""
        connected = self.open()
        bound = connected.prepare(self.access, statement).bind(parameters)
        if is_serial:
            bound.consistency_level = self.access.serial_consistency
        if page_rows is not None:
            bound.fetch_size = page_rows
        return self._execute(connected, bound, statement, paging_state)

    def _send_batch(self, batch: PackedBatch) -> Any:
        return self._execute(self.open(), batch, batch.name)

    def _execute(self, connected: _Connection, statement: Any, name: str, paging_state: bytes | None = None) -> Any:
        began = time.perf_counter()
        future = connected.session.execute_async(
            statement, timeout=self._timeout_s, execution_profile=_PROFILE, paging_state=paging_state
        )
        context = (connected, name, began)
        future.add_callbacks(self._note_answer, self._note_failure, context, None, context, None)
        return future

    # Called on the driver's threads

    def _note_answer(self, answer: Any, connected: _Connection, name: str, began: float) -> None:
        self._times.note(name, began)
        connected.record_outcome(None)

    def _note_failure(self, error: Exception, connected: _Connection, name: str, began: float) -> None:
        self._times.note(name, began)
        connected.record_outcome(error)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Translates the driver's exceptions into StoreUnavailable or StoreRejected."""
        try:
            yield
        except DRIVER_ERRORS as error:
            found = translated(error, self.access.servers)
            if isinstance(found, StoreUnavailable):
                log.warning("store.request_failed", error=str(found))
            raise found from error
