"""The page of the audit log and its export. It reads the site's own database only."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from back_office.audit import chain, records
from back_office.audit.codes import Action, Outcome
from back_office.audit.origin import Origin
from back_office.models import AuditRecord
from back_office.pages import audit_log
from back_office.paging import PAGE_ROWS
from settlement.errors import CannotRun
from settlement.models import Alarm
from tests.back_office.conftest import html, next_page, refusal, words

PAGE = "/admin/audit_log/"
DOCUMENT = Path(__file__).parents[2] / "docs" / "audit-log.md"
CSV = "/admin/audit_log/csv/"
DAY_NS = 86_400 * 10**9
BOB = Origin("bob", "198.51.100.9")

pytestmark = pytest.mark.django_db


@pytest.fixture
def auditor(operator: Client) -> Client:
    """Logged in, which is record 2; its account is record 1."""
    return operator


def numbers(client: Client, query: str = "") -> list[int]:
    return [int(number) for number in re.findall(r'<tr id="record-(\d+)">', html(client.get(PAGE + query)))]


def exported(client: Client, query: str = "") -> list[dict[str, str]]:
    parts: Iterator[bytes] = iter(client.get(CSV + query))
    return list(csv.DictReader(io.StringIO(b"".join(parts).decode())))


def test_a_record_shows_who_did_what_when_from_where_and_why(auditor: Client) -> None:
    old: dict[str, list[str]] = {"groups": []}
    new = {"groups": ["viewer"]}
    records.append(Action.USER_CHANGED, by=BOB, target="user:eve", reason="new <job>", before=old, after=new)
    page = words(auditor.get(PAGE))
    assert "bob 198.51.100.9 user.changed user:eve done “new <job>” groups: none → viewer" in page


def test_filters_by_person_action_and_day(auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(3):
        monkeypatch.setattr("time.time_ns", lambda day=day: 1_767_225_600_000_000_000 + day * DAY_NS)
        records.append(Action.LOGIN, by=BOB)
    records.append(Action.LOGOUT, by=BOB)
    assert numbers(auditor, "?person=bob") == [6, 5, 4, 3]
    assert numbers(auditor, "?person=bob&action=logout") == [6]
    assert numbers(auditor, "?from=2026-01-02&to=2026-01-02") == [4]
    assert numbers(auditor, "?to=2026-01-02") == [4, 3]
    assert numbers(auditor, "?person=nobody") == []


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?action=nonsense", "Action must be one of the list."),
        ("?from=yesterday", "From must be a date such as 2026-01-31, not 'yesterday'."),
        ("?from=2026-01-02&to=2026-01-01", "The range is empty: 2026-01-01 is before 2026-01-02."),
        ("?before=x", "Before must be a whole number"),
        ("?person=" + "x" * 501, "Person can have at most 500 characters."),
    ],
)
@pytest.mark.parametrize("address", [PAGE, CSV])
def test_an_invalid_filter_is_one_sentence(auditor: Client, address: str, query: str, sentence: str) -> None:
    response = auditor.get(address + query)
    assert response.status_code == 400
    assert refusal(response).startswith(sentence)


def test_paging_lists_every_record_once(auditor: Client) -> None:
    for _ in range(PAGE_ROWS + 5):
        records.append(Action.LOGIN, by=BOB)
    first = auditor.get(PAGE + "?person=bob")
    following = next_page(first)
    assert following
    assert "person=bob" in following
    assert numbers(auditor, "?person=bob") + numbers(auditor, following) == list(range(PAGE_ROWS + 7, 2, -1))


def test_the_export_has_every_filtered_record_and_can_be_checked(
    auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "PIECE_ROWS", 2)
    for number in range(5):
        records.append(Action.LOGIN, by=BOB, after={"number": number})
    rows = exported(auditor, "?person=bob")
    assert [row["number"] for row in rows] == ["7", "6", "5", "4", "3"]
    later, earlier = AuditRecord(**{name: rows[0][name] for name in chain.HASHED}), rows[1]["digest"]
    later.number, later.at_ns = int(later.number), int(later.at_ns)
    assert chain.digest(earlier, later) == rows[0]["digest"]


def test_the_export_is_recorded_with_its_filter(auditor: Client) -> None:
    exported(auditor, "?person=bob")
    record = AuditRecord.objects.latest("number")
    assert (record.action, record.actor, json.loads(record.after)) == (
        "audit_log.export",
        "operator",
        {"person": "bob"},
    )


def test_no_cell_of_the_export_is_a_formula(auditor: Client) -> None:
    records.append(Action.LOGIN, by=Origin("@SUM(1)", ""), reason="=1+1")
    row = exported(auditor, "?person=@SUM(1)")[0]
    assert (row["actor"], row["reason"]) == ("'@SUM(1)", "'=1+1")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nobody_changes_records_by_pages(auditor: Client, method: str) -> None:
    for address in (PAGE, CSV):
        assert auditor.generic(method.upper(), address).status_code == 405
    assert auditor.get("/admin/back_office/").status_code == 404
    assert auditor.get("/admin/back_office/auditrecord/").status_code == 404


# --- actions ------------------------------------------------------------------------------------------------------


def newest() -> AuditRecord:
    return AuditRecord.objects.latest("number")


def test_an_acknowledged_alarm_is_recorded_once(operator: Client) -> None:
    at = "2026-01-01T12:00:00Z"
    alarm = Alarm.objects.create(kind="gap", severity="warning", message="A gap.", raised_at=at, last_seen_at=at)
    address = reverse("office:acknowledge", args=[alarm.pk])
    operator.post(address, {"reason": "known"})
    record = newest()
    assert (record.actor, record.action, record.target, record.outcome, record.reason) == (
        *("operator", "alarm.acknowledge", f"alarm:{alarm.pk}", "done", "known"),
    )
    assert json.loads(record.before)["acknowledged_by"] is None
    assert json.loads(record.after)["acknowledged_by"] == "operator"
    operator.post(address)
    assert (newest().outcome, newest().number) == ("failed", record.number + 1)


def test_an_alarm_is_not_acknowledged_without_its_record(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    at = "2026-01-01T12:00:00Z"
    alarm = Alarm.objects.create(kind="gap", severity="warning", message="A gap.", raised_at=at, last_seen_at=at)

    def away() -> None:
        raise records.AuditLogDamaged("The audit log has records but no head.")

    monkeypatch.setattr(records, "_locked_head", away)
    assert operator.post(reverse("office:acknowledge", args=[alarm.pk])).status_code == 503
    alarm.refresh_from_db()
    assert alarm.acknowledged_by is None


def test_a_reconciliation_that_cannot_start_is_recorded(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: object, **options: object) -> None:
        raise CannotRun("The task queue is unavailable.")

    found = AuditRecord.objects.filter(action=Action.RECONCILE).order_by("number")
    monkeypatch.setattr("settlement.tasks.reconcile.apply_async", away)
    operator.post(reverse("office:reconcile"), {"reason": "odd balance"})
    assert [(one.outcome, one.reason) for one in found] == [("started", "odd balance"), ("failed", "")]
    assert json.loads(newest().after) == {"error": "The task queue is unavailable."}


def test_a_reason_that_is_too_long_is_refused(operator: Client) -> None:
    response = operator.post(reverse("office:reconcile"), {"reason": "x" * 501})
    assert response.status_code == 400
    assert "A reason can have at most 500 characters." in words(response)
    assert not AuditRecord.objects.filter(action=Action.RECONCILE).exists()


def test_every_code_is_in_the_documents() -> None:
    listed = set(re.findall(r"`([a-z_.]+)`", DOCUMENT.read_text(encoding="utf-8")))
    assert {*Action, *Outcome} <= listed
