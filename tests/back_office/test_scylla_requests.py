"""Cost of pages on the ScyllaDB store: a bounded number of requests, each by key, whatever the number of rows."""

import pytest
from django.core.cache import cache
from django.test import Client

from back_office.paging import PAGE_ROWS
from settlement.stores.scylla import statements
from settlement.stores.scylla.keys import BUCKET_SIZE
from tests.back_office.conftest import ON_SCYLLA
from tests.back_office.market import Market
from tests.back_office.test_queries import PAGES
from tests.settlement.scylla_requests import Requests

pytestmark = [ON_SCYLLA, pytest.mark.timeout(300)]

KNOWN = {text for text in vars(statements).values() if isinstance(text, str)}
"""`tests/settlement/stores/scylla/test_store.py` checks that each has a full partition key and no filter or count."""
MOST_REQUESTS = PAGE_ROWS + 10
"""Upper bound for a page of balances, where every row can belong to another account."""
MOST_WAITS = 20
"""Upper bound of sequential round trips of a page."""


class Pages:
    """Opens pages and counts the requests of the store's driver."""

    def __init__(self, operator: Client, requests: Requests) -> None:
        self._operator = operator
        self._requests = requests

    def costs(self) -> dict[str, tuple[int, int]]:
        """Requests and sequential round trips of each page.

        The least of three, because the kept definitions may expire before a page is read on a busy machine.
        """
        return {page: min(self.cost(page) for _ in range(3)) for page in PAGES}

    def cost(self, page: str) -> tuple[int, int]:
        self._operator.get(page)  # reads the definitions, which are kept
        cache.clear()
        self._requests.forget()
        assert self._operator.get(page).status_code in (200, 302), page
        assert set(self._requests.statements) <= KNOWN, page
        return len(self._requests.statements), self._requests.waits


@pytest.fixture
def pages(operator: Client, market: Market, monkeypatch: pytest.MonkeyPatch) -> Pages:
    return Pages(operator, Requests(monkeypatch))


def add_accounts(market: Market, first: int, last: int) -> range:
    for account in range(first, last):
        market.deposit(account, "BTC", 10**12)
        market.deposit(account, "USD", 10**16)
    market.settle()
    return range(first, last)


def test_a_page_costs_the_same_however_many_rows_and_accounts_there_are(market: Market, pages: Pages) -> None:
    market.run(PAGE_ROWS + 30)
    market.run(20, accounts=add_accounts(market, 5, 5 + PAGE_ROWS))
    few = pages.costs()
    market.run(10 * PAGE_ROWS, accounts=add_accounts(market, 100, 400), a_block=25)
    many = pages.costs()
    grown = {page: (few[page], cost) for page, cost in many.items() if cost[0] > few[page][0] or cost[1] > few[page][1]}
    assert grown == {}
    assert max(requests for requests, _ in many.values()) <= MOST_REQUESTS


def test_sparse_rows_cost_at_most_three_requests_each_and_few_round_trips(market: Market, pages: Pages) -> None:
    """The three: the index entry of a partition, the slice with an instrument's ids, and the row."""
    market.run(10)
    for _ in range(PAGE_ROWS + 30):
        market.skip(BUCKET_SIZE)
        market.run(1)
    costs = pages.costs()
    assert max(requests for requests, _ in costs.values()) <= 3 * (PAGE_ROWS + 1) + 20
    assert {page: waits for page, (_, waits) in costs.items() if waits > MOST_WAITS} == {}


def test_fifty_instruments_and_their_assets_cost_few_round_trips(market: Market, pages: Pages) -> None:
    market.run(PAGE_ROWS)
    market.add_instruments(f"A{number:02}" for number in range(50))
    for number in range(50):
        market.deposit(1, f"A{number:02}", 10**12)
        market.deposit(2, "USD", 10**16)
        market.trade(f"A{number:02}-USD", 100, 10, maker=1, taker=2)
    market.settle()
    costs = pages.costs()
    assert {page: waits for page, (_, waits) in costs.items() if waits > MOST_WAITS} == {}
