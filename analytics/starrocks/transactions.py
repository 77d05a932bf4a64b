"""Loads a batch of rows into a table exactly once, by a stream load transaction.

    (none) ──begin──▶ PREPARE ──load, prepare──▶ PREPARED ──commit──▶ COMMITTED ──▶ VISIBLE
                         └────────rollback, an error, a time-out────────▶ ABORTED

A transaction is named by a label. StarRocks commits a label once at most; a label that was aborted can be used again.
After an error, and before the first step, the state of the label decides what is done next: the answer to a step may
be lost although the step was done.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from analytics.errors import StarRocksRefused, StarRocksUnavailable
from analytics.starrocks.http import StarRocksHttp

log = structlog.get_logger(__name__)

_ATTEMPTS = 6
_FIRST_WAIT_S = 0.2
_TRANSACTION_S = 600
_COMMITTED = ("COMMITTED", "VISIBLE")
_STATES = ("UNKNOWN", "PREPARE", "PREPARED", "ABORTED", *_COMMITTED)

Row = Mapping[str, Any]


class Transactions:
    def __init__(
        self,
        http: StarRocksHttp,
        *,
        sleep: Callable[[float], object] = time.sleep,
        on_retry: Callable[[], object] = lambda: None,
    ) -> None:
        self._http = http
        self._sleep = sleep
        self._on_retry = on_retry
        self._database = http.cluster.database

    def load(self, label: str, table: str, rows: Sequence[Row], columns: str = "") -> None:
        """Returns when the rows of this label are committed, now or by an earlier call. `rows` is not empty.

        `columns`: the header of that name, for columns that are computed. Raises StarRocksUnavailable, after which the
        same call may be repeated at any time; StarRocksRefused.
        """
        body = json.dumps(rows).encode()
        refusal: StarRocksRefused | StarRocksUnavailable | None = None
        for attempt in range(_ATTEMPTS):
            if refusal is not None:
                self._on_retry()
                log.warning("analytics.load_retried", table=table, label=label, error=str(refusal))
                self._sleep(_FIRST_WAIT_S * 2 ** (attempt - 1))
            try:
                if self._is_committed(label):
                    return
                self._steps(label, table, body, len(rows), columns)
                return
            except StarRocksUnavailable as error:
                refusal = error
            except _StepFailed as error:
                refusal = StarRocksRefused(str(error))
        assert refusal is not None
        raise refusal

    def state(self, label: str) -> str:
        """Raises StarRocksUnavailable, StarRocksRefused."""
        found = self._http.request("GET", f"/api/{self._database}/get_load_state?label={label}")
        state = str(found.get("state") or found.get("data") or "").upper()
        if state not in _STATES:
            raise StarRocksUnavailable(f"StarRocks did not tell the state of the label {label}.")
        return state

    def _is_committed(self, label: str) -> bool:
        """Finishes or ends what an earlier attempt has begun; returns whether the label is committed then."""
        state = self.state(label)
        if state == "PREPARED":
            self._step("commit", label)
            return True
        if state == "PREPARE":
            self._step("rollback", label)
        return state in _COMMITTED

    def _steps(self, label: str, table: str, body: bytes, count: int, columns: str) -> None:
        of_table = {"table": table}
        self._step("begin", label, {**of_table, "timeout": str(_TRANSACTION_S)})
        form = {"format": "json", "strip_outer_array": "true", "strict_mode": "true", "max_filter_ratio": "0"}
        if columns:
            form["columns"] = columns
        loaded = self._step("load", label, {**of_table, **form}, body)
        _refuse_other_count(label, loaded, count)
        self._step("prepare", label)
        self._step("commit", label)

    def _step(
        self, name: str, label: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> dict[str, Any]:
        """Raises _StepFailed, StarRocksUnavailable, StarRocksRefused."""
        method = "PUT" if name == "load" else "POST"
        all_headers = {"label": label, "db": self._database, **(headers or {})}
        found = self._http.request(method, f"/api/transaction/{name}", all_headers, body)
        if found.get("Status") != "OK":
            message = str(found.get("Message") or found.get("msg") or found.get("Status") or "no reason was given")
            raise _StepFailed(f"StarRocks refuses the step {name} of the label {label}: {_one_line(message)}.")
        return found


class _StepFailed(Exception):
    """The answer to a step is not OK. Its transaction may have been rolled back, or committed by another request."""


def _refuse_other_count(label: str, loaded: Mapping[str, Any], count: int) -> None:
    """Raises _StepFailed if rows were filtered; the next attempt then rolls the transaction back."""
    found = loaded.get("NumberLoadedRows", count), loaded.get("NumberFilteredRows", 0)
    if found != (count, 0):
        raise _StepFailed(f"StarRocks took {found[0]} of {count} rows of the label {label}, and filtered {found[1]}.")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300].rstrip(".")
