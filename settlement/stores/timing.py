"""How long the store takes for a statement: a metric of all, and a log line of those that take too long."""

import re
import threading
import time

import structlog

from settlement import metrics

log = structlog.get_logger(__name__)

SLOW = "slow statement"
"""The event of such a line."""

SHOWN_CHARACTERS = 200
"""Of a statement in a log line."""

_SAME_EVERY_S = 1.0

_PLACES = re.compile(r"(%s|\?)(?:, ?(?:%s|\?))+")
_ROWS = re.compile(r"(\((?:%s|\?)(?:, …)?\))(?:, ?\((?:%s|\?)(?:, …)?\))+")


class StatementTimes:
    """May be told from several threads.

    A store under load is slow for many requests at once: of one statement a line a second is written, and the next one
    says how many were left out. Statements that differ only in how many values they take count as one.
    """

    def __init__(self, slow_ms: float) -> None:
        self._slow_ms = slow_ms
        self._lock = threading.Lock()
        self._told_s: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def note(self, statement: str, began_s: float) -> None:
        """`began_s` as of `time.perf_counter`; it ends now."""
        now_s = time.perf_counter()
        duration_ms = (now_s - began_s) * 1000
        metrics.DB_LATENCY_MS.observe(duration_ms)
        if duration_ms <= self._slow_ms:
            return
        statement = shortened(statement)
        with self._lock:
            if now_s < self._told_s.get(statement, float("-inf")) + _SAME_EVERY_S:
                self._untold[statement] = self._untold.get(statement, 0) + 1
                return
            self._told_s[statement] = now_s
            untold = self._untold.pop(statement, 0)
        log.warning(SLOW, statement=statement, duration_ms=round(duration_ms, 1), more_before=untold)


def shortened(statement: str) -> str:
    """One line of SHOWN_CHARACTERS at most; of many places for values it shows the first."""
    line = _ROWS.sub(r"\1, …", _PLACES.sub(r"\1, …", " ".join(statement.split())))
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
