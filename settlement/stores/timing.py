"""Measures how long the store takes for a statement: a metric for all, and a log line for slow ones."""

import re
import threading
import time

import structlog

from settlement import metrics

log = structlog.get_logger(__name__)

SHOWN_CHARACTERS = 200
"""Maximum length of a statement in a log line."""

_LOG_INTERVAL_S = 1.0

_PLACES = re.compile(r"(%s|\?)(?:, ?(?:%s|\?))+")
_ROWS = re.compile(r"(\((?:%s|\?)(?:, …)?\))(?:, ?\((?:%s|\?)(?:, …)?\))+")


class StatementTimes:
    """Records the durations of statements and logs slow ones. Thread-safe.

    A store under load is slow for many requests at once. Therefore at most one line per second is logged for a
    statement, and the next line has the number of suppressed ones. Statements that differ only in the number of their
    values count as one.
    """

    def __init__(self, slow_ms: float) -> None:
        self._slow_ms = slow_ms
        self._lock = threading.Lock()
        self._logged_at_s: dict[str, float] = {}
        self._suppressed: dict[str, int] = {}

    def note(self, statement: str, began_s: float) -> None:
        """Call when the statement ends; `began_s` is of `time.perf_counter`."""
        now_s = time.perf_counter()
        duration_ms = (now_s - began_s) * 1000
        metrics.DB_LATENCY_MS.observe(duration_ms)
        if duration_ms <= self._slow_ms:
            return
        statement = shortened(statement)
        with self._lock:
            if now_s < self._logged_at_s.get(statement, float("-inf")) + _LOG_INTERVAL_S:
                self._suppressed[statement] = self._suppressed.get(statement, 0) + 1
                return
            self._logged_at_s[statement] = now_s
            suppressed = self._suppressed.pop(statement, 0)
        log.warning(
            "store.slow_statement", statement=statement, duration_ms=round(duration_ms, 1), suppressed=suppressed
        )


def shortened(statement: str) -> str:
    """The statement on one line of at most SHOWN_CHARACTERS, with only the first of many placeholders."""
    line = _ROWS.sub(r"\1, …", _PLACES.sub(r"\1, …", " ".join(statement.split())))
    return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"
