import json
from datetime import UTC, datetime

import pytest

from back_office.alarm_notifications.running import sending
from settlement.alarms import records
from settlement.alarms.rules import Kind, Severity, Signal
from tests.back_office.alarm_notifications.conftest import Hook

DEADLINE_S = 30.0
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)  # the sender's thread has a connection of its own
def test_alarms_are_told_while_the_web_runs(hook: Hook) -> None:
    records.raise_alarm(Signal(Kind.SPILL, Severity.WARNING, "The spill is in use."), NOON, NOON)
    with sending():
        assert hook.asked.wait(DEADLINE_S)
    ((_, body),) = hook.requests
    assert json.loads(body)["kind"] == "spill"
