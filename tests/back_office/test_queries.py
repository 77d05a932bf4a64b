"""Cost of pages on SQL: the same few statements for a small and a large store, and all lookups by key.

`test_scylla_requests` does the same for the ScyllaDB store.
"""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse

from back_office import urls
from back_office.paging import PAGE_ROWS
from settlement.models import Alarm, ReconciliationRun
from tests.back_office.conftest import ON_SQL
from tests.back_office.market import Market

pytestmark = ON_SQL

PAGES = [
    "/admin/",
    "/admin/overview/live/?symbol=BTC-USD",
    "/admin/trades/",
    "/admin/trades/?before=200",
    "/admin/trades/?after=40",
    "/admin/trades/?symbol=BTC-USD&after=40",
    "/admin/trades/?symbol=BTC-USD",
    "/admin/trades/?account=1",
    "/admin/trades/?account=1&day=2026-01-01",
    "/admin/trades/?account=1&day=2026-01-01&side=sell",
    "/admin/trades/?day=2026-01-01&symbol=BTC-USD",
    "/admin/trades/?first=10&last=300",
    "/admin/trades/20/",
    "/admin/orders/",
    "/admin/orders/?symbol=BTC-USD",
    "/admin/orders/?account=2&before=900",
    "/admin/orders/18/",
    "/admin/orders/open/",
    "/admin/orders/open/?after=4",
    "/admin/instruments/",
    "/admin/accounts/",
    "/admin/accounts/?after=1:BTC",
    "/admin/accounts/1/",
    "/admin/accounts/1/?asset=BTC&before=500-0",
    "/admin/blocks/",
    "/admin/blocks/?before=10",
    "/admin/blocks/2/",
    "/admin/find/?q=20",
    "/admin/alarms/",
    "/admin/alarms/bar/",
    "/admin/api_keys/",
    "/admin/api_keys/new/",
    "/admin/requests/new/",
    "/admin/requests/new/?kind=deposit&account=1",
    "/admin/audit_log/",
    "/admin/audit_log/?person=alice&action=login&from=2026-01-01&before=40",
    "/admin/alarms/?before=40",
    "/admin/reconciliations/",
    "/admin/reconciliations/?before=40",
    "/admin/reconciliations/?only=differences",
    "/admin/requests/",
    "/admin/requests/?state=waiting&kind=deposit&person=fiona&before=40",
    "/admin/dead_letters/",
    "/admin/dead_letters/?before=40",
]

ASSETS = 3
"""Of each account of the market."""

OF_ONE_ROW = {"request", "request_state", "reconciliation", "api_key", "dead_letter"}
"""Pages of a row of another table: their lists are above."""
OF_ONE_USER = {"second_factor", "second_factor_code", "user_second_factor"}
OF_A_PERIOD = {"analytics", "analytics_accounts"}
"""They read all rows of a period, in pieces; the time of their query is limited."""


@pytest.fixture(autouse=True)
def lasting_reference_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine it would be read again between two requests, because it is older than 15 s."""
    monkeypatch.setattr(urls.reference, "_clock", lambda: 0.0)


def history(rows: int) -> None:
    """Adds `rows` runs, every second one with a difference, and `rows` cleared alarms."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(rows):
        run = ReconciliationRun(started_at=at, block_number=number, difference_count=number % 2, ok=not number % 2)
        run.report = {}
        run.save()
        Alarm.objects.create(kind="lag", severity="warning", message="!", raised_at=at, last_seen_at=at, cleared_at=at)


def statements(operator: Client, page: str) -> list[str]:
    operator.get(page)  # reads the definitions, which are kept
    with CaptureQueriesContext(connection) as queries:
        response = operator.get(page)
    assert response.status_code in (200, 302)
    return [query["sql"] for query in queries]


def test_every_page_is_among_them(operator: Client, market: Market) -> None:
    """Apart from downloads, which read pieces, and actions, which cannot be asked for."""
    opened = {resolve(page.partition("?")[0]).url_name for page in PAGES}
    others = {str(pattern.name) for pattern in urls.pages()} - opened - OF_ONE_ROW - OF_ONE_USER - OF_A_PERIOD
    downloads = {name for name in others if name.endswith(("_csv", "_export"))}
    numbers = {"describe": "account"}
    for action in others - downloads:
        route = next(str(pattern.pattern) for pattern in urls.pages() if pattern.name == action)
        key = {numbers.get(action, "number"): 1} if "<int:" in route else {}
        assert operator.get(reverse(f"office:{action}", kwargs=key)).status_code == 405, action


@pytest.mark.parametrize("page", PAGES)
def test_a_page_takes_the_same_statements_for_any_number_of_rows(operator: Client, market: Market, page: str) -> None:
    market.run(PAGE_ROWS + 30)
    history(2 * PAGE_ROWS + 30)
    few = statements(operator, page)
    market.run(10 * PAGE_ROWS)
    history(2 * PAGE_ROWS)
    many = statements(operator, page)
    # A page that is not full also asks whether older rows are released.
    lookups = [[query for query in queries if "stage = 'released'" not in query] for queries in (many, few)]
    assert len(lookups[0]) == len(lookups[1]) <= 20
    assert abs(len(many) - len(few)) <= 1


def test_a_statement_of_days_takes_a_binary_search_more(operator: Client, market: Market) -> None:
    """For each end of the period, at most as many headers of blocks as its number has binary digits, and one."""
    market.run(PAGE_ROWS + 30)
    whole = len(statements(operator, "/admin/accounts/1/"))
    market.run(10 * PAGE_ROWS, a_block=1, step_ns=500_000_000_000)
    found = len(statements(operator, "/admin/accounts/1/?from=2026-01-02&to=2026-01-02"))
    balances = 2 * (1 + ASSETS)
    assert found <= whole + balances + 2 * (market.block.bit_length() + 1) + 3


@pytest.mark.parametrize("page", PAGES)
def test_no_page_query_counts_skips_or_sorts(operator: Client, market: Market, page: str) -> None:
    market.run(PAGE_ROWS + 30)
    history(2 * PAGE_ROWS + 30)
    for statement in statements(operator, page):
        text = statement.upper()
        assert "COUNT(" not in text
        assert "OFFSET" not in text
        assert not text.startswith(("INSERT", "UPDATE", "DELETE"))
        if connection.vendor == "sqlite" and text.startswith("SELECT"):
            with connection.cursor() as cursor:
                plan = cursor.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            assert not [step for step in plan if "TEMP B-TREE" in step[-1]], statement
