import re

import pytest
from django.test import Client

from back_office.paging import PAGE_ROWS
from matching.core.decimals import INT64_MAX
from settlement.stores.base import Store
from tests.back_office.conftest import html, links, next_page, refusal, words
from tests.back_office.market import Market
from tests.settlement.rows import account_fees, account_status


def places(page: str) -> list[tuple[int, int]]:
    """(event sequence, leg) of each ledger entry on a page."""
    table = page.partition('id="entries"')[2]
    number = r'<td class="number">(?:<a [^>]*>)?(\d+)(?:</a>)?</td>'
    row = rf'<tr>\s*{number}\s*<td class="time">[^<]*</td>\s*{number}'
    return [(int(sequence), int(leg)) for sequence, leg in re.findall(row, table)]


def test_an_account_number_redirects_to_the_account(operator: Client, market: Market) -> None:
    assert operator.get("/admin/accounts/?account=7")["Location"] == "/admin/accounts/7/"


def test_paging_lists_every_balance_once(operator: Client, market: Market) -> None:
    for account in range(10, 100):
        market.deposit(account, "USD", 1_500_000)
        market.deposit(account, "BTC", 1)
    market.settle()
    seen: list[int] = []
    step: str | None = "/admin/accounts/"
    while step:
        response = operator.get(step)
        seen += links(response, "accounts")
        following = next_page(response, "next")
        step = following and f"/admin/accounts/{following}"
    assert seen == [account for account in range(1, 5) for _ in range(3)] + [
        account for account in range(10, 100) for _ in range(2)
    ]


def test_paging_includes_the_largest_account_numbers(operator: Client, market: Market) -> None:
    accounts = range(INT64_MAX - PAGE_ROWS - 5, INT64_MAX + 1)
    for account in accounts:
        market.deposit(account, "USD", 1_500_000)
    market.settle()
    first = operator.get("/admin/accounts/")
    second = operator.get(f"/admin/accounts/{next_page(first, 'next')}")
    assert (links(first, "accounts") + links(second, "accounts"))[-len(accounts) :] == list(accounts)


def test_balances_are_decimals_with_their_sum(operator: Client, market: Market) -> None:
    market.place(1, "BTC-USD", "sell", 2_000_000, 5_000)
    market.settle()
    page = words(operator.get("/admin/accounts/1/"))
    assert "BTC 9999.50000000 0.50000000 10000.00000000" in page
    assert "USD 10000000000.000000 0.000000 10000000000.000000" in page


def test_a_statement_shows_each_change_and_the_balance_after_it(operator: Client, market: Market) -> None:
    trade = market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    market.settle()
    page = words(operator.get("/admin/accounts/2/?asset=BTC"))
    assert f"{trade.trade_id} 2026-01-01T12:00:00.000Z 2 fee BTC -0.00100000 0.00000000 10000.49900000" in page
    assert "trade_credit BTC +0.50000000" in page
    assert re.search(r"deposit tx-\d+ BTC \+10000\.00000000", page)
    assert "trade_debit" not in page
    assert f'href="/admin/trades/{trade.trade_id}/"' in html(operator.get("/admin/accounts/2/"))


@pytest.mark.parametrize("asset", ["", "BTC", "USD"])
def test_paging_lists_every_ledger_entry_of_a_statement_once(operator: Client, market: Market, asset: str) -> None:
    market.run(3 * PAGE_ROWS)
    seen: list[tuple[int, int]] = []
    step: str | None = f"/admin/accounts/3/?asset={asset}"
    while step:
        response = operator.get(step)
        seen += places(html(response))
        older = next_page(response)
        step = older and f"/admin/accounts/3/{older}"
    kept = market.store.get_ledger_events_by_account(3, 100_000, asset=asset or None)
    assert seen == [(entry.event_sequence, entry.leg) for entry in kept]
    assert len(seen) == len(set(seen)) > 2 * PAGE_ROWS


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("?account=one", "Account must be a whole number from 0 to 9223372036854775807, not 'one'."),
        (f"?after={INT64_MAX + 1}:BTC", "After must be an account and an asset such as 7:BTC."),
        ("?after=7", "After must be an account and an asset such as 7:BTC."),
        ("1/?asset=b$d", "Asset must be 1 to 32 characters of A-Z 0-9 . _ -, not 'B$D'."),
        ("1/?asset=GOLD", "There is no asset GOLD."),
        ("1/?before=5", "Before must be an event sequence and a leg such as 120-0, not '5'."),
    ],
)
def test_a_bad_filter_is_one_sentence(operator: Client, market: Market, address: str, sentence: str) -> None:
    response = operator.get(f"/admin/accounts/{address}")
    assert response.status_code == 400
    assert refusal(response) == sentence


def test_an_unknown_account_is_a_404_page(operator: Client, market: Market) -> None:
    response = operator.get("/admin/accounts/99/")
    assert response.status_code == 404
    assert "Account 99 does not exist: it has no settled balance, ledger entry or setting." in words(response)


def test_status_and_own_fees_of_an_account_are_shown(operator: Client, market: Market) -> None:
    assert "Status active" in words(operator.get("/admin/accounts/1/"))
    fees = [account_fees(1, (0, 500), symbol="", sequence=30), account_fees(1, (7, 8), sequence=31)]
    market.settings = [account_status(1, "no_trading"), *fees, account_fees(1, None, "ETH-USD"), account_status(99)]
    market.settle()
    page = words(operator.get("/admin/accounts/1/"))
    assert "Status no trading" in page
    assert "all others 0 500 30 BTC-USD 7 8 31 Balances" in page
    assert "Status frozen" in words(operator.get("/admin/accounts/99/"))


def test_the_house_account_is_labelled(operator: Client, market: Market) -> None:
    market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    market.settle()
    assert "house account: fees are credited here" in words(operator.get("/admin/accounts/0/"))
    assert "0 house" in words(operator.get("/admin/accounts/"))


def test_an_empty_list_explains_how_accounts_are_created(operator: Client, store: Store) -> None:
    assert "No account has a balance yet." in words(operator.get("/admin/accounts/"))
    assert "There are no further balances." in words(operator.get("/admin/accounts/?after=5:BTC"))
