import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from structlog.testing import capture_logs

from back_office.paging import PAGE_ROWS
from settlement.alarms import records
from settlement.alarms.rules import Kind, Severity, Signal
from settlement.models import Alarm
from tests.back_office.conftest import html, next_page, refusal, words

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
pytestmark = pytest.mark.django_db


def raise_alarm(kind: Kind, severity: Severity = Severity.WARNING, at: datetime = NOON) -> Alarm:
    records.raise_alarm(Signal(kind, severity, f"This is {kind}."), at, at)
    return records.raised_alarms([kind]).get()


def rows(page: str, table: str) -> list[int]:
    """Ids of the alarms of a table, from top to bottom."""
    part = page.partition(f'id="{table}"')[2].partition("</table>")[0]
    return [int(number) for number in re.findall(r'<tr id="alarm-(\d+)"', part)]


def test_no_alarm_yet(operator: Client) -> None:
    page = words(operator.get("/admin/alarms/"))
    assert "No alarm is raised." in page
    assert "History" not in page


def test_raised_alarms_are_listed_with_the_most_severe_first(operator: Client) -> None:
    old = raise_alarm(Kind.SPILL)
    records.clear_alarm(Kind.SPILL, NOON + timedelta(minutes=5))
    lag, halted = raise_alarm(Kind.LAG), raise_alarm(Kind.ENGINE_HALTED, Severity.CRITICAL)
    letters = raise_alarm(Kind.DEAD_LETTERS)
    response = operator.get("/admin/alarms/")
    assert rows(html(response), "raised") == [halted.id, letters.id, lag.id]
    assert rows(html(response), "history") == [old.id]
    page = words(response)
    assert "critical Engine halted This is engine_halted. 2026-01-01T12:00:00Z 2026-01-01T12:00:00Z" in page
    assert "warning Spill This is spill. 2026-01-01T12:00:00Z 2026-01-01T12:05:00Z –" in page


def test_the_history_is_read_a_page_at_a_time(operator: Client) -> None:
    for _ in range(PAGE_ROWS + 5):
        raise_alarm(Kind.LAG)
        records.clear_alarm(Kind.LAG, NOON)
    first = operator.get("/admin/alarms/")
    second = operator.get(f"/admin/alarms/{next_page(first)}")
    found = rows(html(first), "history") + rows(html(second), "history")
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == PAGE_ROWS + 5
    assert next_page(second) is None


def test_a_bad_page_is_one_sentence(operator: Client) -> None:
    response = operator.get("/admin/alarms/?before=noon")
    assert response.status_code == 400
    assert "must be a whole number" in refusal(response)


def test_acknowledging_an_event_clears_it_and_records_the_user(operator: Client) -> None:
    alarm = raise_alarm(Kind.GAP)
    with capture_logs() as lines:
        response = operator.post(f"/admin/alarms/{alarm.id}/acknowledge/", follow=True)
    page = words(response)
    assert "The alarm has been acknowledged." in page
    assert "No alarm is raised." in page
    assert rows(html(response), "history") == [alarm.id]
    assert "operator" in page.partition("History")[2]
    assert [(line["event"], line["by"]) for line in lines] == [("alarm.acknowledged", "operator")]


def test_acknowledging_an_ongoing_condition_keeps_it_raised(operator: Client) -> None:
    alarm = raise_alarm(Kind.LAG)
    response = operator.post(f"/admin/alarms/{alarm.id}/acknowledge/", follow=True)
    assert rows(html(response), "raised") == [alarm.id]
    assert "Acknowledge</button>" not in html(response)


def test_acknowledging_twice_changes_nothing(operator: Client) -> None:
    alarm = raise_alarm(Kind.LAG)
    operator.post(f"/admin/alarms/{alarm.id}/acknowledge/")
    before = Alarm.objects.values().get()
    page = words(operator.post(f"/admin/alarms/{alarm.id}/acknowledge/", follow=True))
    assert "it has already been acknowledged" in page
    assert Alarm.objects.values().get() == before
    assert "no longer raised" in words(operator.post("/admin/alarms/999/acknowledge/", follow=True))


def test_who_sees_alarms_acknowledges_them_with_the_permission_for_it() -> None:
    alarm = raise_alarm(Kind.LAG)
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_alarm"))
    client = Client()
    client.force_login(clerk)
    assert "Acknowledge</button>" not in html(client.get("/admin/alarms/"))
    clerk.user_permissions.add(Permission.objects.get(codename="change_alarm"))
    assert "Acknowledge</button>" in html(client.get("/admin/alarms/"))
    client.post(f"/admin/alarms/{alarm.id}/acknowledge/")
    assert Alarm.objects.get().acknowledged_by == "clerk"


def test_an_alarm_message_is_escaped(operator: Client) -> None:
    records.raise_alarm(Signal(Kind.LAG, Severity.WARNING, "<script>alert(1)</script>"), NOON, NOON)
    for address in ("/admin/alarms/", "/admin/"):
        assert "<script>alert(1)" not in html(operator.get(address))


def test_web_metrics_include_the_alarms_of_every_process(client: Client) -> None:
    raise_alarm(Kind.RECONCILIATION, Severity.CRITICAL)
    page = html(client.get("/metrics"))
    assert 'settlement_alarm{kind="reconciliation",severity="critical"} 1.0' in page
    assert 'settlement_alarm{kind="lag",severity="critical"} 0.0' in page
    assert page.count("# TYPE settlement_alarm gauge") == 1
