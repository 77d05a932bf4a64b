"""The connection to ScyllaDB or Cassandra as the store uses it: one a process, made when it is first needed, and anew
where no node has answered on it for long.

Requests are prepared statements, several in flight; each is timed and counted, and what the driver raises comes out in
the contract's words. A forked process makes a connection of its own and leaves its parent's alone: the driver's
threads do not live on in it.
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
from settlement.stores.scylla.tables.layout import COLUMNS, Column, misfit, missing
from settlement.stores.timing import StatementTimes

log = structlog.get_logger(__name__)
# What it has to say comes out of here: it logs each failed attempt with a traceback of its own.
logging.getLogger("cassandra").setLevel(logging.CRITICAL)

Row = tuple[Any, ...]

PAGE = 1000
"""Rows that an iterator holds at a time."""
FIRST_PAGE = 64
"""Rows that it asks for first: who fills one page of the back office needs no more. It doubles from there to PAGE."""

_SILENT_S = 10.0
"""No node has answered for so long: the driver may have given up, as one refused login makes it do for good."""
_RECONNECT_S = 1.0  # the driver's own way waits up to ten minutes after a long outage

_OWN = "settlement"  # execution profile; cqlengine sets up the default one for itself


@dataclass(frozen=True)
class Access:
    """Where the servers are and how they are asked."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    port: int = 9042
    keyspace: str = "exchange_settlement"
    replication: str = "{'class': 'SimpleStrategy', 'replication_factor': 1}"  # as CQL has it, for `init`
    username: str = ""
    password: str = field(default="", repr=False)
    local_dc: str = ""  # empty: that of the first host
    consistency: str = "LOCAL_QUORUM"
    timeout_ms: int = 10_000  # for the answer to one request
    in_flight: int = 16  # requests at once

    @property
    def serial_consistency(self) -> int:
        """Of lightweight transactions: within the data centre where everything else is."""
        is_local = self.consistency.startswith("LOCAL_")
        return int(ConsistencyLevel.LOCAL_SERIAL if is_local else ConsistencyLevel.SERIAL)

    @property
    def servers(self) -> str:
        return f"ScyllaDB at {','.join(self.hosts)} port {self.port}"


class _Told(HostStateListener):  # type: ignore[misc] # ships no types
    def on_up(self, host: Any) -> None:
        log.info("node answers again", node=str(host.endpoint))

    def on_down(self, host: Any) -> None:
        log.warning("node does not answer", node=str(host.endpoint))

    def on_add(self, host: Any) -> None:
        log.info("node joined", node=str(host.endpoint))

    def on_remove(self, host: Any) -> None:
        log.warning("node left", node=str(host.endpoint))


class _Connected:
    """A session of the driver's, with the statements that it has prepared."""

    def __init__(self, access: Access, timeout_s: float) -> None:
        self._name = name = f"scylla-{os.getpid()}-{next(_numbers)}"
        # Not `django.db.connections`: Django would connect at the end of each web request, and before workers fork.
        options = {"connection": cluster_options(access, timeout_s)}
        login = {"USER": access.username, "PASSWORD": access.password}
        CassandraConnection(name, HOST=",".join(access.hosts), NAME=access.keyspace, OPTIONS=options, **login)
        self.session = registry.get_session(name)
        self.session.client_protocol_handler = PackingHandler
        registry.get_cluster(name).register_listener(_Told())
        self._prepared: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._has_keyspace = False
        self._silent_since_s: float | None = None
        self.replacing = threading.Lock()  # of its own: one of the module could be held while the process forks

    def close(self) -> None:
        registry.unregister_connection(self._name)

    def note(self, error: Exception | None) -> None:
        """What came of a request. A time-out says nothing: the node may be there and slow."""
        if _is_silence(error):
            if self._silent_since_s is None:
                self._silent_since_s = time.monotonic()
        elif not isinstance(error, OperationTimedOut):
            self._silent_since_s = None

    def may_be_lost(self) -> bool:
        """Whether no node has answered for long; True to one caller, and again as much later."""
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
                    self.note(error)
                    raise
                prepared.is_idempotent = True
        return prepared

    def _use(self, keyspace: str) -> None:
        self.session.set_keyspace(keyspace)
        columns = [Column(*row) for row in self.session.execute(COLUMNS, (keyspace,), execution_profile=_OWN)]
        found = misfit(columns)
        if found is not None:
            raise StoreMisconfigured(f"Keyspace {keyspace} was made by another version, its {found}.")
        lacking = missing(columns)
        if lacking:
            raise StoreUninitialized(
                f"Keyspace {keyspace} lacks {', '.join(lacking)}: manage.py init_store makes keyspace and tables."
            )


def _is_silence(error: Exception | None) -> bool:
    """Whether no node was there to be asked."""
    if not isinstance(error, NoHostAvailable):
        return False
    said = error.errors.values() if isinstance(error.errors, dict) else error.errors
    return all(isinstance(one, ConnectionException | OSError) for one in said)


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
        "protocol_version": 4,  # the newest that both servers speak, and what packed batches are written in
        "compression": False,  # rows of 100 bytes: the processor is dearer than the wire
        # Else a batch waits about 40 ms: it goes out in pieces, which meet delayed acknowledgements.
        "sockopts": [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        # Who retries is in no hurry here: a connection is made once, and a login takes the server longer than a row.
        "connect_timeout": access.timeout_ms / 1000,
        "control_connection_timeout": access.timeout_ms / 1000,
        "reconnection_policy": ConstantReconnectionPolicy(_RECONNECT_S, max_attempts=None),
        "execution_profiles": {EXEC_PROFILE_DEFAULT: profile(), _OWN: profile(row_factory=tuple_factory)},
    }


_connected: dict[tuple[int, Access], _Connected] = {}
_connecting = threading.Lock()
_numbers = count()


@atexit.register  # after the driver's own, and so run before that
def _close_all() -> None:
    for (pid, _), connected in list(_connected.items()):
        if pid == os.getpid():
            connected.close()
    end_event_loop()


class Session:
    """Statements of one keyspace. Threads may share it."""

    def __init__(self, access: Access, slow_query_ms: float = 100, timeout_ms: int | None = None) -> None:
        """`timeout_ms`: for the answer to one request, in the place of the access's."""
        self.access = access
        self._times = StatementTimes(slow_query_ms)
        self._timeout_s = (access.timeout_ms if timeout_ms is None else timeout_ms) / 1000

    def open(self) -> _Connected:
        """The process's connection. Raises StoreUnavailable, StoreRejected."""
        key = (os.getpid(), self.access)
        found = _connected.get(key)
        if found is None:
            with self.translating(), _connecting:
                found = _connected.get(key)
                if found is None:
                    found = _connected[key] = _Connected(self.access, self._timeout_s)
        elif found.may_be_lost():
            # Beside those who ask: while the servers are away it takes as long as the time-outs say.
            threading.Thread(target=self._replace, args=(key, found), name="scylla-replace", daemon=True).start()
        return found

    def _replace(self, key: tuple[int, Access], lost: _Connected) -> None:
        """Connects anew, and only then gives up the connection that may be lost: it may also come back by itself."""
        if not lost.replacing.acquire(blocking=False):
            return
        try:
            if _connected[key] is not lost:
                return
            _connected[key] = _Connected(self.access, self._timeout_s)
        except DRIVER_ERRORS as error:
            log.warning("no new connection either", error=str(translated(error, self.access.servers)))
            return
        finally:
            lost.replacing.release()
        log.warning("connected anew: no node had answered on the old connection", servers=self.access.servers)
        lost.close()

    def rows(self, statement: str, parameters: Sequence[Any] = (), is_serial: bool = False) -> list[Row]:
        """`is_serial`: after every lightweight transaction on these rows that began before."""
        with self.translating():
            return list(self._asked(statement, parameters, is_serial).result())

    def together(self, *asked: tuple[str, Sequence[Any]]) -> list[list[Row]]:
        """The rows of each, asked for at once."""
        with self.translating():
            futures = [self._asked(statement, parameters) for statement, parameters in asked]
        return [self._answer(future) for future in futures]

    def one(self, statement: str, parameters: Sequence[Any] = ()) -> Row | None:
        found = self.rows(statement, parameters)
        return found[0] if found else None

    def iterate(self, statement: str, parameters: Sequence[Any] = (), first: int | None = None) -> Iterator[Row]:
        """The rows, read a page at a time: `first` in the first, FIRST_PAGE if not told; up to PAGE in the others."""
        first = first or FIRST_PAGE
        with self.translating():
            asked = self._asked(statement, parameters, size=first)
        yield from self._pages(asked, statement, parameters, first)

    def iterate_many(self, statement: str, parameters: Sequence[Sequence[Any]]) -> list[Iterator[Row]]:
        """As `iterate` for each; their first pages are asked for together."""
        asked: list[Any] = []
        for place, values in enumerate(parameters):
            with self.translating():
                if place >= self.access.in_flight:
                    asked[place - self.access.in_flight].result()
                asked.append(self._asked(statement, values, size=FIRST_PAGE))
        return [self._pages(one, statement, values, FIRST_PAGE) for one, values in zip(asked, parameters, strict=True)]

    def _pages(self, asked: Any, statement: str, parameters: Sequence[Any], size: int) -> Iterator[Row]:
        """Each page is a request of its own: timed and counted, which the driver's own way to the next one is not."""
        while True:
            with self.translating():
                answer = asked.result()
            yield from answer.current_rows
            if answer.paging_state is None:
                return
            size = min(2 * size, PAGE)
            with self.translating():
                asked = self._asked(statement, parameters, size=size, state=answer.paging_state)

    def many(self, statement: str, parameters: Iterable[Sequence[Any]]) -> Iterator[list[Row]]:
        """The rows of each, in order; some are asked for ahead."""
        waiting: deque[Any] = deque()
        for values in parameters:
            with self.translating():
                waiting.append(self._asked(statement, values))
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
        """One that cannot be prepared. Making a table takes a cluster longer than a row does."""
        with self.translating():
            self.open().session.execute(statement, timeout=max(self._timeout_s, 30))

    def keyspaces(self) -> dict[str, dict[str, str]]:
        """Those that the servers have, and how each is replicated."""
        with self.translating():
            query = "SELECT keyspace_name, replication FROM system_schema.keyspaces"
            return {name: dict(how) for name, how in self.open().session.execute(query, execution_profile=_OWN)}

    def query_id(self, statement: str) -> bytes:
        with self.translating():
            prepared = self.open().prepare(self.access, statement)
        return bytes(prepared.query_id)

    def send(self, batches: Iterable[PackedBatch], at_once: int | None = None) -> None:
        """All of them, `at_once` in flight, durable when this returns. When it raises, some are."""
        at_once = at_once or self.access.in_flight
        waiting: deque[Any] = deque()
        try:
            for batch in batches:
                with self.translating():
                    waiting.append(self._sent(batch))
                if len(waiting) >= at_once:
                    self._answer(waiting.popleft())
        finally:
            # Also after a failure: whoever writes again must not be overtaken by what is on its way.
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

    def _asked(
        self,
        statement: str,
        parameters: Sequence[Any],
        is_serial: bool = False,
        size: int | None = None,
        state: bytes | None = None,
    ) -> Any:
        """`size`: rows in a page, None: as the driver has it. `state`: where the page before ended."""
        connected = self.open()
        bound = connected.prepare(self.access, statement).bind(parameters)
        if is_serial:
            bound.consistency_level = self.access.serial_consistency
        if size is not None:
            bound.fetch_size = size
        return self._timed(connected, bound, statement, state)

    def _sent(self, batch: PackedBatch) -> Any:
        return self._timed(self.open(), batch, batch.name)

    def _timed(self, connected: _Connected, statement: Any, name: str, state: bytes | None = None) -> Any:
        began = time.perf_counter()
        future = connected.session.execute_async(
            statement, timeout=self._timeout_s, execution_profile=_OWN, paging_state=state
        )
        told = (connected, name, began)
        future.add_callbacks(self._note_answer, self._note_failure, told, None, told, None)
        return future

    # On the driver's threads

    def _note_answer(self, answer: Any, connected: _Connected, name: str, began: float) -> None:
        self._times.note(name, began)
        connected.note(None)

    def _note_failure(self, error: Exception, connected: _Connected, name: str, began: float) -> None:
        self._times.note(name, began)
        connected.note(error)

    @contextmanager
    def translating(self) -> Iterator[None]:
        """What the driver raises inside, as StoreUnavailable or StoreRejected."""
        try:
            yield
        except DRIVER_ERRORS as error:
            found = translated(error, self.access.servers)
            if isinstance(found, StoreUnavailable):
                log.warning("store unavailable", error=str(found))
            raise found from error
