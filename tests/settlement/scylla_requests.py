"""Cost of lookups on the ScyllaDB store, counted in requests, rows and sequential round trips."""

from typing import Any

import pytest
from cassandra.cluster import ResponseFuture


class Requests:
    """Counts the driver's requests, rows and sequential round trips during a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sent: list[Any] = []
        self._rounds: dict[Any, int] = {}
        self.waits = 0
        """Number of sequential round trips: requests that were sent after the previous answer."""
        send, result = ResponseFuture.send_request, ResponseFuture.result

        def sending(future: Any, *rest: Any, **more: Any) -> Any:
            if future.query is not None:  # None: preparation of a statement, once per process
                self._sent.append(future)
                self._rounds[future] = self.waits + 1
            return send(future, *rest, **more)

        def waiting(future: Any) -> Any:
            self.waits = max(self.waits, self._rounds.get(future, 0))
            return result(future)

        # Not `execute_async`: the driver does not call it for further pages of a result.
        monkeypatch.setattr(ResponseFuture, "send_request", sending)
        monkeypatch.setattr(ResponseFuture, "result", waiting)

    def forget(self) -> None:
        self._sent.clear()
        self._rounds.clear()
        self.waits = 0

    @property
    def statements(self) -> list[str]:
        """Texts of the requests; a batch of rows only has a name."""
        return [_text(future.query) for future in self._sent]

    def rows(self, *statements: str) -> int:
        """Number of rows returned by these statements (by all if none is given), including prefetched ones."""
        asked = {future: None for future in self._sent if not statements or _text(future.query) in statements}
        return sum(len(future.result().current_rows) for future in asked)


def _text(statement: Any) -> str:
    prepared = getattr(statement, "prepared_statement", None)
    return str(prepared.query_string if prepared else getattr(statement, "name", statement))
