"""The connection to ScyllaDB or Cassandra.

Each process has one connection. It is opened when it is first needed, and replaced if no node has answered on it for
some time. Requests are prepared statements, several in flight; each is timed and counted. The driver's exceptions are
translated into those of the store contract. A forked process opens its own connection and does not touch its parent's,
because the driver's threads do not exist in the child.
"""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog

from settlement.stores.base import StoreUnavailable
from settlement.stores.scylla.batches import PackedBatch
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.driver import PROFILE, Connection
from settlement.stores.scylla.connection.errors import DRIVER_ERRORS, translated
from settlement.stores.scylla.connection.exit import end_event_loop
from settlement.stores.scylla.tables.layout import Column
from settlement.stores.timing import StatementTimes

log = structlog.get_logger(__name__)

Row = tuple[Any, ...]

PAGE = 1000
"""Rows that an iterator holds at a time."""
FIRST_PAGE = 64
"""Size of an iterator's first page, enough for a page of the back office. Later pages double in size up to PAGE."""

_connected: dict[tuple[int, Access], Connection] = {}
_connecting = threading.Lock()


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

    def open(self) -> Connection:
        """The process's connection. Raises StoreUnavailable, StoreRejected."""
        key = (os.getpid(), self.access)
        found = _connected.get(key)
        if found is None:
            with self.translating(), _connecting:
                found = _connected.get(key)
                if found is None:
                    found = _connected[key] = Connection(self.access, self._timeout_s)
        elif found.may_be_lost():
            # In a thread, because connecting takes until the time-out while the servers are unreachable.
            threading.Thread(target=self._replace, args=(key, found), name="scylla-replace", daemon=True).start()
        return found

    def _replace(self, key: tuple[int, Access], lost: Connection) -> None:
        """Opens a new connection and then closes the lost one, which may recover until then."""
        if not lost.replacing.acquire(blocking=False):
            return
        try:
            if _connected[key] is not lost:
                return
            _connected[key] = Connection(self.access, self._timeout_s)
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
                for name, replication in self.open().session.execute(query, execution_profile=PROFILE)
            }

    def tables(self) -> set[str]:
        """The existing tables of the keyspace, none if there is no keyspace."""
        with self.translating():
            query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
            found = self.open().session.execute(query, (self.access.keyspace,), execution_profile=PROFILE)
            return {name for (name,) in found}

    def columns_to_add(self) -> list[Column]:
        """The columns that tables of an earlier version lack."""
        with self.translating():
            return self.open().columns_to_add(self.access.keyspace)

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

    def _execute(self, connected: Connection, statement: Any, name: str, paging_state: bytes | None = None) -> Any:
        began = time.perf_counter()
        future = connected.session.execute_async(
            statement, timeout=self._timeout_s, execution_profile=PROFILE, paging_state=paging_state
        )
        context = (connected, name, began)
        future.add_callbacks(self._note_answer, self._note_failure, context, None, context, None)
        return future

    # Called on the driver's threads

    def _note_answer(self, answer: Any, connected: Connection, name: str, began: float) -> None:
        self._times.note(name, began)
        connected.record_outcome(None)

    def _note_failure(self, error: Exception, connected: Connection, name: str, began: float) -> None:
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
