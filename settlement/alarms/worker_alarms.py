"""The settlement worker's alarms: logged immediately, exported to Prometheus, written to the database by a thread.

`observe` and `raise_incident` never wait for the database and never fail with it. Changes are kept in memory until they
can be written, because alarms matter most while the database is unavailable.

    with worker_alarms.running_alarms(clock) as alarms:
        worker.run(Services(…, report=alarms.observe))
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from django.db import Error as DatabaseError
from django.db import connections
from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from settlement.alarms import heartbeats, records, rules
from settlement.alarms.rules import EVENTS, OF_SETTLEMENT, Kind, Severity, Signal
from settlement.clock import Clock
from settlement.errors import Incident
from settlement.worker_status import WorkerStatus

__all__ = ["Alarms", "StoredAlarms", "running_alarms"]

log = structlog.get_logger(__name__)

CLEAR_AFTER_S = 5.0
"""A level clears, or becomes a warning again, when its condition has been over for this time: it must not flicker."""
UPDATE_INTERVAL_S = 60.0
"""Interval between updates of a raised alarm in the database."""
RETRY_S = 2.0
"""Interval between retries of a failed write, which is a missing heartbeat too."""
MAX_CLOSE_S = 5.0
"""Maximum time for the last writes when settlement ends."""
_MAX_UNWRITTEN = 64  # unwritten changes of one kind; the oldest are dropped


class _Change(NamedTuple):
    signal: Signal | None  # None: cleared
    raised_at: datetime
    at: datetime


@dataclass(slots=True)
class _Raised:
    signal: Signal
    raised_at: datetime
    seen_at: datetime
    updated_s: float  # time of the last update in the database, monotonic
    is_seen_again: bool = False  # seen since that update
    over_since_s: float | None = None  # since when the condition is over or less severe, monotonic; None: it is not


class Alarms(Collector):
    """The raised alarms in memory.

    One thread calls `observe` and `raise_incident`, one thread calls `write`, and any thread calls `collect`.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._raised: dict[Kind, _Raised] = {}
        self._unwritten: dict[Kind, deque[_Change]] = {kind: deque(maxlen=_MAX_UNWRITTEN) for kind in OF_SETTLEMENT}
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._gaps = 0
        self._turns = 0
        self._is_loaded = False
        self._is_unavailable = False

    def observe(self, status: WorkerStatus) -> None:
        """Raises and clears alarms; cheap enough for every turn of the worker. Raises no exception."""
        now_s = self._clock.monotonic()
        self._turns += 1
        with self._lock:
            for kind, signal in rules.levels(status):
                if signal is not None:
                    self._handle_signal(signal, now_s)
                elif kind in self._raised and self._is_over(self._raised[kind], now_s):
                    self._clear(kind)
            if status.gaps > self._gaps:
                self._gaps = status.gaps
                self._handle_signal(rules.gap(status.gaps), now_s)
            for alarm in self._raised.values():
                if alarm.is_seen_again and now_s - alarm.updated_s >= UPDATE_INTERVAL_S:
                    self._queue_update(alarm, now_s)

    def raise_incident(self, error: Incident) -> None:
        """Raises the alarm of an incident. Raises no exception."""
        with self._lock:
            self._handle_signal(rules.incident(error), self._clock.monotonic())

    def collect(self) -> Iterator[Metric]:
        """Called by Prometheus's client."""
        with self._lock:
            yield _gauge(OF_SETTLEMENT, {kind: alarm.signal.severity for kind, alarm in self._raised.items()})

    # In memory, under the lock

    def _handle_signal(self, signal: Signal, now_s: float) -> None:
        alarm = self._raised.get(signal.kind)
        if alarm is None or _is_worse(signal, alarm.signal):
            self._raise(signal, now_s)
            records.log_alarm(signal)
            return
        alarm.seen_at, alarm.is_seen_again = self._now(), True
        if not _is_worse(alarm.signal, signal):
            alarm.signal, alarm.over_since_s = signal, None
        elif signal.kind not in EVENTS and self._is_over(alarm, now_s):
            self._raise(signal, now_s)

    def _raise(self, signal: Signal, now_s: float) -> None:
        """Raises an alarm, or changes its severity if it is raised already."""
        now, before = self._now(), self._raised.get(signal.kind)
        self._raised[signal.kind] = alarm = _Raised(signal, before.raised_at if before else now, now, now_s)
        self._queue_update(alarm, now_s)

    def _queue_update(self, alarm: _Raised, now_s: float) -> None:
        alarm.updated_s, alarm.is_seen_again = now_s, False
        self._queue_change(alarm.signal.kind, _Change(alarm.signal, alarm.raised_at, alarm.seen_at))

    def _is_over(self, alarm: _Raised, now_s: float) -> bool:
        if alarm.over_since_s is None:
            alarm.over_since_s = now_s
        return now_s - alarm.over_since_s >= CLEAR_AFTER_S

    def _clear(self, kind: Kind) -> None:
        alarm = self._raised.pop(kind)
        self._queue_change(kind, _Change(None, alarm.raised_at, self._now()))
        log.info("alarm.cleared", kind=str(kind))

    def _queue_change(self, kind: Kind, change: _Change) -> None:
        self._unwritten[kind].append(change)
        self._changed.set()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.time_ns() / 10**9, UTC)

    # In the database

    def write(self) -> bool:
        """Writes a heartbeat and changes, and reads acknowledgements. Returns False if the database is unavailable."""
        try:
            heartbeats.beat(heartbeats.SETTLEMENT, self._turns)
            self._load()
            for kind, changes in self._unwritten.items():
                while changes:
                    self._write_one(kind)
            self._forget_acknowledged()
        except DatabaseError as error:
            if not self._is_unavailable:
                log.warning("alarm.write_failed", error=str(error))
            self._is_unavailable = True
            return False
        self._is_unavailable = False
        return True

    def _load(self) -> None:
        """Loads the alarms that an earlier process left raised; levels clear if they are over, events stay."""
        if self._is_loaded:
            return
        rows = list(records.raised_alarms(OF_SETTLEMENT))
        with self._lock:
            for row in rows:
                signal = Signal(Kind(row.kind), Severity(row.severity), row.message)
                known = _Raised(signal, row.raised_at, row.last_seen_at, self._clock.monotonic())
                self._raised.setdefault(signal.kind, known)
            self._is_loaded = True

    def _write_one(self, kind: Kind) -> None:
        change = self._unwritten[kind][0]
        if change.signal:
            records.raise_alarm(change.signal, change.raised_at, change.at)
        else:
            records.clear_alarm(kind, change.at)
        with self._lock:
            if self._unwritten[kind][0] is change:  # otherwise it was dropped meanwhile for newer ones
                self._unwritten[kind].popleft()

    def _forget_acknowledged(self) -> None:
        events = [kind for kind in EVENTS if kind in self._raised]
        if not events:
            return
        still = set(records.raised_alarms(events).values_list("kind", flat=True))
        with self._lock:
            for kind in events:
                if kind not in still and not self._unwritten[kind]:
                    del self._raised[kind]

    def write_until_closed(self) -> None:
        """The target of the writer thread."""
        try:
            while not self._closing.is_set():
                if self.write():
                    self._changed.wait(heartbeats.BEAT_S)
                else:
                    connections.close_all()  # in case the connection is broken
                    self._closing.wait(RETRY_S)
                self._changed.clear()
            self.write()
        finally:
            connections.close_all()

    def close(self) -> None:
        self._closing.set()
        self._changed.set()


@contextmanager
def running_alarms(clock: Clock) -> Iterator[Alarms]:
    """Alarms with a writer thread and metrics; an Incident that ends the `with` block raises an alarm too.

    At the end the remaining changes are written, for up to MAX_CLOSE_S.
    """
    alarms = Alarms(clock)
    writer = threading.Thread(target=alarms.write_until_closed, name="alarms", daemon=True)
    REGISTRY.register(alarms)
    writer.start()
    try:
        yield alarms
    except Incident as error:
        alarms.raise_incident(error)
        raise
    finally:
        alarms.close()
        writer.join(MAX_CLOSE_S)
        REGISTRY.unregister(alarms)


class StoredAlarms(Collector):
    """Metrics of the alarms in the database, for a process that raises none; none while it is unavailable."""

    def collect(self) -> Iterator[Metric]:
        try:
            raised = {Kind(row.kind): Severity(row.severity) for row in records.raised_alarms()}
        except DatabaseError as error:
            log.warning("alarm.read_failed", error=str(error))
            return
        yield _gauge(Kind, raised)


def _gauge(kinds: Iterable[Kind], raised: Mapping[Kind, Severity]) -> Metric:
    text = "1 while an alarm of this kind and severity is raised."
    gauge = GaugeMetricFamily("settlement_alarm", text, labels=["kind", "severity"])
    for kind in kinds:
        for severity in Severity:
            gauge.add_metric([kind, severity], float(raised.get(kind) is severity))
    return gauge


def _is_worse(one: Signal, other: Signal) -> bool:
    return one.severity is Severity.CRITICAL and other.severity is Severity.WARNING
