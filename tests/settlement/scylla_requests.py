"""What a lookup costs on the ScyllaDB store, in numbers that no clock is needed for."""

from typing import Any

import pytest
from cassandra.cluster import ResponseFuture


class Requests:
    """What the driver is asked while a test runs: requests, rows, and answers that had to be waited for in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sent: list[Any] = []
        self._rounds: dict[Any, int] = {}
        self.waits = 0
        """Answers that came one after the other, each to a request that was sent when the one before had come."""
        send, result = ResponseFuture.send_request, ResponseFuture.result

        def sending(future: Any, *rest: Any, **more: Any) -> Any:
            if future.query is not None:  # None: a statement is prepared, once a process
                self._sent.append(future)
                self._rounds[future] = self.waits + 1
            return send(future, *rest, **more)

        def waiting(future: Any) -> Any:
            self.waits = max(self.waits, self._rounds.get(future, 0))
            return result(future)

        # Not `execute_async`: the driver does not use it for the following pages of an answer.
        monkeypatch.setattr(ResponseFuture, "send_request", sending)
        monkeypatch.setattr(ResponseFuture, "result", waiting)

    def forget(self) -> None:
        self._sent.clear()
        self._rounds.clear()
        self.waits = 0

    @property
    def statements(self) -> list[str]:
        """A batch of rows has a name only."""
        return [_text(future.query) for future in self._sent]

    def rows(self, *statements: str) -> int:
        """That came in answer to these statements, also where nobody waited for them; to any where none is named."""
        asked = {future: None for future in self._sent if not statements or _text(future.query) in statements}
        return sum(len(future.result().current_rows) for future in asked)


def _text(statement: Any) -> str:
    prepared = getattr(statement, "prepared_statement", None)
    return str(prepared.query_string if prepared else getattr(statement, "name", statement))
