"""What pages cost on the ScyllaDB store: a bounded number of requests, each by a key, however much is stored."""

from typing import Any

import pytest
from django.test import Client

from ledger.paging import PAGE_ROWS
from settlement.stores import scylla_statements
from settlement.stores.scylla import ScyllaStore
from settlement.stores.scylla_keys import BUCKET
from tests.web.conftest import ON_SCYLLA
from tests.web.market import Market
from tests.web.test_queries import PAGES

pytestmark = [ON_SCYLLA, pytest.mark.timeout(300)]

KNOWN = {text for text in vars(scylla_statements).values() if isinstance(text, str)}
"""`tests/settlement/test_scylla_store.py` holds each to its whole partition key, without filter and count."""
MOST_REQUESTS = PAGE_ROWS + 10
"""Of a page of balances: up to an account a row."""


class Requests:
    """What a store's driver is asked, page by page."""

    def __init__(self, store: object, monkeypatch: pytest.MonkeyPatch) -> None:
        assert isinstance(store, ScyllaStore)
        session = store._session.open().session
        self._execute = session.execute_async
        self._asked: list[str] = []
        monkeypatch.setattr(session, "execute_async", self._note)

    def _note(self, statement: Any, *rest: Any, **more: Any) -> Any:
        """A batch of rows has a name only, which is no statement that is known: a page has none to send."""
        prepared = getattr(statement, "prepared_statement", None)
        self._asked.append(prepared.query_string if prepared else getattr(statement, "name", str(statement)))
        return self._execute(statement, *rest, **more)

    def of_pages(self, operator: Client) -> dict[str, int]:
        """How many each makes."""
        return {page: len(self.of_page(operator, page)) for page in PAGES}

    def of_page(self, operator: Client, page: str) -> list[str]:
        operator.get(page)  # reads the definitions, which are kept
        self._asked.clear()
        assert operator.get(page).status_code in (200, 302), page
        assert set(self._asked) <= KNOWN, page
        return list(self._asked)


@pytest.fixture
def requests(market: Market, monkeypatch: pytest.MonkeyPatch) -> Requests:
    return Requests(market.store, monkeypatch)


def add_accounts(market: Market, first: int, last: int) -> range:
    for account in range(first, last):
        market.deposit(account, "BTC", 10**12)
        market.deposit(account, "USD", 10**16)
    market.settle()
    return range(first, last)


def test_a_page_costs_the_same_however_many_rows_and_accounts_there_are(
    operator: Client, market: Market, requests: Requests
) -> None:
    market.run(PAGE_ROWS + 30)
    market.run(20, accounts=add_accounts(market, 5, 5 + PAGE_ROWS))
    few = requests.of_pages(operator)
    market.run(10 * PAGE_ROWS, accounts=add_accounts(market, 100, 400), a_block=25)
    many = requests.of_pages(operator)
    assert {page: count for page, count in many.items() if count > few[page]} == {}
    assert max(many.values()) <= MOST_REQUESTS


def test_rows_that_lie_far_apart_cost_two_requests_each_at_most(
    operator: Client, market: Market, requests: Requests
) -> None:
    """A partition and the entry of an index that leads to it."""
    market.run(10)
    for _ in range(PAGE_ROWS + 30):
        market.skip(BUCKET)
        market.run(1)
    many = requests.of_pages(operator)
    assert max(many.values()) <= 2 * (PAGE_ROWS + 1) + 10
