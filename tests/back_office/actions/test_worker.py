"""The loop of the worker: it goes on after an outage of the database, and says so once."""

import pytest
from django.db import OperationalError, connections
from structlog.testing import capture_logs

from back_office.actions import carrying_out, metrics, worker
from back_office.actions.engine import RealEngine
from back_office.actions.worker import Progress

ENGINE = RealEngine(lambda: "tcp://127.0.0.1:1")


def test_the_loop_goes_on_after_an_outage_and_logs_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    away = OperationalError("The database is locked.")
    outcomes: list[int | Exception] = [1, away, away, 2, away]
    progress, seen = Progress(), []

    def turn(engine: object) -> int:
        outcome = outcomes[progress.turns]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def wait(seconds: float) -> bool:
        seen.append(progress.finds_database)
        return progress.turns == len(outcomes)

    monkeypatch.setattr(carrying_out, "turn", turn)
    monkeypatch.setattr(metrics, "count_states", lambda: None)
    monkeypatch.setattr(connections, "close_all", lambda: None)
    with capture_logs() as logged:
        assert worker.run(ENGINE, progress, wait) == 3
    assert seen == [True, False, False, True, False]
    assert [line["event"] for line in logged] == ["action.turn_failed"] * 2
