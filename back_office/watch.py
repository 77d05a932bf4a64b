"""Watches settlement, background work and the worker of actions from the web: nothing can report its own death.

One thread of the web process looks at the heartbeats every WATCH_S, raises and clears the alarms of `rules.OF_WEB`, and
keeps the raised alarms in memory, so that every page shows them without a query.

    heartbeats ──▶ Silence (own clock) ──▶ rules ──▶ alarm rows ──▶ `Watch.raised`, which pages and health read

If the database accepts no writes, there are neither heartbeats nor new rows. The watch then judges nobody, and adds the
alarm of that itself.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog
from django.db import Error as DatabaseError
from django.db import connection, connections
from django.utils.timezone import now

from back_office.pages.alarms import RaisedAlarms
from back_office.pages.overview import EngineReader
from matching.core.errors import MatchingError
from settlement.alarms import heartbeats, records, rules
from settlement.alarms.heartbeats import Beat
from settlement.alarms.rules import Kind, Signal
from settlement.project import rebuild_requests

log = structlog.get_logger(__name__)

WATCH_S = 1.0
CLOSE_S = 5.0
_LOCK_WAIT_MS = 1000
"""The watch waits no longer for SQLite's lock: it has to say that it is held."""


@dataclass(slots=True)
class Silence:
    """How long a count has not changed, in seconds of the reader's own monotonic clock."""

    changed_s: float
    count: int | None = None

    def see(self, count: int, now_s: float) -> None:
        if count != self.count:
            self.count, self.changed_s = count, now_s

    def skip(self, seconds: float) -> None:
        """Leaves out time in which the reader did not look."""
        self.changed_s += seconds


class Watch:
    """`look` is called by one thread; `raised`, `is_watching` and `is_fine` by any."""

    def __init__(self, engine: EngineReader, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._looked_s = monotonic()
        self._beats: dict[str, Silence] = {}
        self._turns: dict[str, Silence] = {}
        self._signals: dict[Kind, Signal] = {}
        self.raised: RaisedAlarms = RaisedAlarms([])
        self._failing_since_s: float | None = None
        self.is_watching = False
        """Whether the last look found the database, and could write to it."""

    def look(self) -> None:
        """One round. Without the database nothing is judged: neither can the others write their heartbeats."""
        began_s = self._monotonic()
        try:
            beats = heartbeats.read()
            now_s = self._monotonic()
            self._see(beats, began_s, now_s)
            self._raise_and_clear()
        except DatabaseError as error:
            self._note_failure(error, began_s)
        else:
            self._failing_since_s, self.is_watching = None, True
        with suppress(DatabaseError):  # pages cannot be read either, and say so
            self.raised = RaisedAlarms.read(now(), unwritten=self.of_database())

    def _note_failure(self, error: DatabaseError, began_s: float) -> None:
        if self._failing_since_s is None:
            self._failing_since_s = began_s
            log.warning("alarm.watch_failed", error=str(error))
        self.is_watching = False

    def of_database(self) -> Signal | None:
        """The alarm that the database accepts no writes; it is nowhere else, because it cannot be written."""
        if self._failing_since_s is None:
            return None
        return rules.database_unwritable(self._monotonic() - self._failing_since_s)

    def is_fine(self, kind: Kind) -> bool:
        """Whether the last look found no reason for that alarm; False if it did not find the database."""
        return self.is_watching and kind not in self._signals

    def _silent_for_s(self, name: str) -> float | None:
        """Seconds since the last heartbeat that was seen; None: there has never been one."""
        found = self._beats.get(name)
        return None if found is None else max(0.0, self._looked_s - found.changed_s)

    def _see(self, beats: Mapping[str, Beat], began_s: float, now_s: float) -> None:
        # After a pause of this process, or an outage of the database, the others get their time anew.
        watched_s = 2 * WATCH_S if self._failing_since_s is None else 0.0
        unseen_s = max(0.0, now_s - self._looked_s - watched_s)
        self._looked_s = now_s
        for name, beat in beats.items():
            for silences, count in ((self._beats, beat.beats), (self._turns, beat.turns)):
                silence = silences.setdefault(name, Silence(began_s, count))
                silence.skip(unseen_s)
                silence.see(count, now_s)

    def _raise_and_clear(self) -> None:
        for kind, signal in (
            (Kind.SETTLEMENT_SILENT, self._of_settlement()),
            (Kind.BACKGROUND_SILENT, self._of_background()),
            (Kind.ACTIONS_SILENT, self._of_actions()),
            (Kind.REBUILD, self._of_rebuild()),
        ):
            if signal is None:
                self._clear(kind)
            else:
                self._raise(signal)

    def _of_settlement(self) -> Signal | None:
        silent_s = self._silent_for_s(heartbeats.SETTLEMENT)
        if silent_s is None:
            return None
        if silent_s > rules.SILENT_CRITICAL_S:
            return rules.settlement_silent(silent_s, self._engine_sentence())
        return rules.settlement_stuck(max(0.0, self._looked_s - self._turns[heartbeats.SETTLEMENT].changed_s))

    def _of_background(self) -> Signal | None:
        silent_s = self._silent_for_s(heartbeats.BACKGROUND)
        return None if silent_s is None else rules.background_silent(silent_s)

    def _of_actions(self) -> Signal | None:
        silent_s = self._silent_for_s(heartbeats.ACTIONS)
        return None if silent_s is None else rules.actions_silent(silent_s)

    def _of_rebuild(self) -> Signal | None:
        found = rebuild_requests.under_way()
        if found is None:
            return None
        is_begun = found.state == rebuild_requests.State.PROJECTING
        return rules.rebuild(is_begun=is_begun, projected=found.projected, to_block=found.to_block)

    def _engine_sentence(self) -> str:
        try:
            status = self._engine.status()
        except MatchingError:
            return "The engine does not answer the web either."
        if status["halted"]:
            return "The engine answers, but accepts no commands."
        return "The engine answers; it halts when its ring of unconfirmed blocks is full."

    def _raise(self, signal: Signal) -> None:
        records.raise_alarm(signal, now(), now())  # every time, because its text tells the age
        before = self._signals.get(signal.kind)
        if before is None or before.severity != signal.severity:
            records.log_alarm(signal)
        self._signals[signal.kind] = signal

    def _clear(self, kind: Kind) -> None:
        """Also clears what an earlier web process left raised."""
        if records.clear_alarm(kind, now()):
            log.info("alarm.cleared", kind=str(kind))
        self._signals.pop(kind, None)

    def run(self, stop: threading.Event) -> None:
        """Looks until `stop` is set."""
        try:
            while not stop.is_set():
                _wait_briefly_for_locks()
                self.look()
                if not self.is_watching:
                    connections.close_all()  # in case the connection is broken
                stop.wait(WATCH_S)
        finally:
            connections.close_all()


def _wait_briefly_for_locks() -> None:
    """On SQLite: limits the waiting of this thread's connection, which may be a new one."""
    if connection.vendor == "sqlite":
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {_LOCK_WAIT_MS}")


@contextmanager
def running(watch: Watch) -> Iterator[None]:
    """Watches in a thread."""
    stop = threading.Event()
    thread = threading.Thread(target=watch.run, args=(stop,), name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(CLOSE_S)
