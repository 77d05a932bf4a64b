from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from kombu.exceptions import OperationalError

from back_office.paging import PAGE_ROWS
from settlement import tasks
from settlement.models import ReconciliationRun
from tests.back_office.conftest import html, links, next_page, refusal, words

pytestmark = pytest.mark.django_db

DIFFERENCES = [
    {"what": "balance", "key": "7:BTC", "expected": {"available": 5, "locked": 0}, "found": None},
    {"what": "order", "key": "31", "expected": {"price": None}, "found": {"price": 100}},
    {"what": "block", "key": "12", "expected": "hash 00", "found": "hash <b>"},
]


def run(**fields: Any) -> ReconciliationRun:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    report = {"balances": 6, "open_orders": 2, "changed_since": 1, "differences": fields.pop("differences", [])}
    fields = {"ok": True, "difference_count": 0, "block_number": 12, "source": "schedule", "report": report} | fields
    return ReconciliationRun.objects.create(started_at=at, state_hash="00c0ffee00c0ffee", **fields)


def test_no_reconciliation_runs_yet(operator: Client) -> None:
    page = words(operator.get("/admin/reconciliations/"))
    assert "There are no reconciliation runs yet." in page
    assert "manage.py reconcile" in page


def test_runs_are_listed_newest_first_with_their_result(operator: Client) -> None:
    run()
    run(ok=False, difference_count=3, source="operator")
    run(ok=False, block_number=0, error="No engine answers.", report={})
    response = operator.get("/admin/reconciliations/")
    numbers = links(response, "reconciliations")
    assert numbers == sorted(numbers, reverse=True)
    page = words(response)
    assert "2026-01-01T12:00:00Z schedule – could not run No engine answers." in page
    assert "2026-01-01T12:00:00Z operator 12 3 differences" in page
    assert "2026-01-01T12:00:00Z schedule 12 no differences" in page


def test_paging_lists_every_run_once(operator: Client) -> None:
    made = [run().id for _ in range(PAGE_ROWS + 5)]
    found: list[int] = []
    step: str | None = "/admin/reconciliations/"
    while step:
        response = operator.get(step)
        found += links(response, "reconciliations")
        step = (older := next_page(response)) and f"/admin/reconciliations/{older}"
    assert found == made[::-1]


def test_runs_can_be_filtered_by_differences(operator: Client) -> None:
    run()
    wrong = run(ok=False, difference_count=3)
    run()
    assert links(operator.get("/admin/reconciliations/?only=differences"), "reconciliations") == [wrong.id]
    assert "No matching runs." in words(operator.get(f"/admin/reconciliations/?only=differences&before={wrong.id}"))


def test_a_bad_page_is_one_sentence(operator: Client) -> None:
    response = operator.get("/admin/reconciliations/?before=noon")
    assert response.status_code == 400
    assert "must be a whole number" in refusal(response)


def test_one_run_shows_its_differences_as_expected_and_found(operator: Client) -> None:
    wrong = run(ok=False, difference_count=105, differences=DIFFERENCES)
    response = operator.get(f"/admin/reconciliations/{wrong.id}/")
    page = words(response)
    assert "105 differences" in page
    assert "Compared 6 balances, 2 open orders Skipped 1 order that" in page
    assert "balance 7:BTC available 5, locked 0 nothing order 31 price none price 100 block 12 hash 00 hash <b>" in page
    assert "102 more were counted but not stored." in page
    for link in ("accounts/7/", "orders/31/", "blocks/12/"):
        assert f'<a href="/admin/{link}">' in html(response)
    assert "hash <b>" not in html(response)


def test_a_difference_in_an_account_setting_leads_to_the_account(operator: Client) -> None:
    setting = {"what": "account setting", "key": "9:fees:BTC-USD", "expected": {"maker_fee": 5}, "found": None}
    wrong = run(ok=False, difference_count=1, differences=[setting])
    response = operator.get(f"/admin/reconciliations/{wrong.id}/")
    assert "account setting 9:fees:BTC-USD maker_fee 5 nothing" in words(response)
    assert '<a href="/admin/accounts/9/">' in html(response)


def test_a_failed_run_shows_its_error(operator: Client) -> None:
    failed = run(ok=False, block_number=0, error="No engine answers.", report={})
    page = words(operator.get(f"/admin/reconciliations/{failed.id}/"))
    assert "could not run No engine answers." in page
    assert "Compared" not in page


def test_a_run_without_a_source_is_shown(operator: Client) -> None:
    old = run(source=None)
    assert "Started by –" in words(operator.get(f"/admin/reconciliations/{old.id}/"))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Arguments of the requested runs."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(tasks.reconcile, "apply_async", lambda arguments, **options: asked.append(arguments))
    return asked


def test_an_operator_can_request_a_reconciliation(operator: Client, sent: list[tuple[Any, ...]]) -> None:
    assert "Reconcile now</button>" in html(operator.get("/admin/reconciliations/"))
    page = words(operator.post("/admin/reconciliations/now/", follow=True))
    assert "A reconciliation has been requested" in page
    assert sent == [("operator",)]


def test_a_missing_broker_is_shown_to_the_operator(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OperationalError("Connection refused")

    monkeypatch.setattr(tasks.reconcile, "apply_async", refuse)
    response = operator.post("/admin/reconciliations/now/", follow=True)
    assert response.status_code == 200
    assert "The task queue is unavailable because its broker does not answer: check REDIS_URL." in words(response)


def test_who_sees_reconciliations_starts_one_with_the_permission_for_it(sent: list[tuple[Any, ...]]) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_reconciliationrun"))
    client = Client()
    client.force_login(clerk)
    assert "Reconcile now</button>" not in html(client.get("/admin/reconciliations/"))
    clerk.user_permissions.add(Permission.objects.get(codename="add_reconciliationrun"))
    assert "Reconcile now</button>" in html(client.get("/admin/reconciliations/"))
    client.post("/admin/reconciliations/now/")
    assert sent == [("operator",)]
