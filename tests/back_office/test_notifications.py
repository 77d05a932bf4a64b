import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils.timezone import now
from pytest_django import Settings

from back_office.alarm_notifications import mutes, outbox
from back_office.alarm_notifications.channels import channels
from back_office.models import AuditRecord
from back_office.pages.alarms import RaisedAlarms
from settlement.alarms.rules import Kind, Severity
from tests.back_office.alarm_notifications.conftest import Hook, hook, mail  # noqa: F401  (fixtures)
from tests.back_office.conftest import html, words
from tests.back_office.test_alarms import raise_alarm

pytestmark = pytest.mark.django_db


def audited() -> list[tuple[str, str, str, str]]:
    """What the audit log says of alarms: action, target, outcome, reason."""
    found = AuditRecord.objects.filter(action__startswith="alarm.").order_by("number")
    return list(found.values_list("action", "target", "outcome", "reason"))


def test_a_muted_kind_is_listed_as_muted_and_leaves_the_bar(operator: Client) -> None:
    lag, spill = raise_alarm(Kind.LAG, Severity.CRITICAL), raise_alarm(Kind.SPILL)
    response = operator.post(
        f"/admin/alarms/{lag.id}/mute/", {"hours": "4", "reason": "disks are replaced"}, follow=True
    )
    page = words(response)
    assert "Alarms of this kind are muted for 4 hours." in page
    assert "Lag muted" in page
    assert "operator disks are replaced" in page
    raised = RaisedAlarms.read(now())
    assert ([row.id for row in raised.audible], raised.critical, raised.warnings) == ([spill.id], 0, 1)
    assert audited()[-1] == ("alarm.mute", "alarm_kind:lag", "done", "disks are replaced")
    assert [row.id for row in RaisedAlarms.read(now() + timedelta(hours=4)).audible] == [lag.id, spill.id]


def test_a_mute_can_be_ended_once(operator: Client) -> None:
    alarm = raise_alarm(Kind.LAG)
    mutes.mute(Kind.LAG, 24, by="operator", reason="", at=now())
    assert "muted" in html(operator.get("/admin/alarms/"))
    page = words(operator.post("/admin/alarms/unmute/", {"kind": "lag"}, follow=True))
    assert "Alarms of this kind are no longer muted." in page
    assert [row.id for row in RaisedAlarms.read(now()).audible] == [alarm.id]
    page = words(operator.post("/admin/alarms/unmute/", {"kind": "lag"}, follow=True))
    assert "Alarms of this kind were not muted." in page
    assert [outcome for _, _, outcome, _ in audited()] == ["done", "failed"]


@pytest.mark.parametrize("hours", ["", "0", "1000", "x"])
def test_a_mute_has_one_of_the_offered_times(operator: Client, hours: str) -> None:
    alarm = raise_alarm(Kind.LAG)
    assert operator.post(f"/admin/alarms/{alarm.id}/mute/", {"hours": hours}).status_code == 400
    assert mutes.muted(now()) == {}


def test_what_does_not_exist_cannot_be_muted(operator: Client) -> None:
    response = operator.post("/admin/alarms/7/mute/", {"hours": "1"})
    assert (response.status_code, "There is no alarm 7." in words(response)) == (404, True)
    assert operator.post("/admin/alarms/unmute/", {"kind": "nonsense"}).status_code == 400


def test_without_channels_the_page_says_what_to_set(operator: Client) -> None:
    page = words(operator.get("/admin/alarms/"))
    assert "Nobody is notified of alarms: set ALARM_EMAILS or ALARM_WEBHOOKS." in page


def test_a_test_is_sent_to_each_channel_and_each_outcome_is_told(
    operator: Client,
    hook: Hook,  # noqa: F811
    settings: Settings,
) -> None:
    settings.ALARM_EMAILS = ["ops@exchange.example"]  # pytest-django keeps mails in memory
    page = words(operator.post("/admin/alarms/test_notification/", follow=True))
    assert "Accepted by e-mail to ops@exchange.example." in page
    assert "Accepted by http://127.0.0.1 #" in page
    hook.status = 500
    page = words(operator.post("/admin/alarms/test_notification/", follow=True))
    assert re.search(r"Not sent, http://127\.0\.0\.1 #\w+: it answered with status 500\.", page)
    assert [outcome for _, _, outcome, _ in audited()] == ["done", "failed"]


def test_the_page_lists_what_was_sent(operator: Client, hook: Hook) -> None:  # noqa: F811
    raise_alarm(Kind.SPILL)
    outbox.plan(channels(), Severity.WARNING, now())
    outbox.deliver(channels(), now())
    page = words(operator.get("/admin/alarms/"))
    assert re.search(r"spill warning http://127\.0\.0\.1 #\w+ sent 1 ", page)
    assert "secret-path" not in html(operator.get("/admin/alarms/"))
