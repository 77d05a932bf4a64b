import pytest
from django.test import Client

from back_office.paging import PAGE_ROWS
from settlement.stores.base import Store
from tests.back_office.conftest import links, next_page, refusal, words
from tests.back_office.market import Market

DAY_NS = 86_400_000_000_000


def walk(operator: Client, address: str, name: str = "older") -> list[int]:
    """All trades on the pages, following one link until there is none."""
    seen: list[int] = []
    step: str | None = address
    while step is not None:
        response = operator.get(address.partition("?")[0] + step if step.startswith("?") else step)
        assert response.status_code == 200
        seen += links(response, "trades")
        step = next_page(response, name)
    return seen


def test_rows_are_listed_newest_first_with_decimals(operator: Client, market: Market) -> None:
    trade = market.trade("BTC-USD", price=6_512_345, quantity=5_000, maker=1, taker=2)
    market.settle()
    response = operator.get("/admin/trades/")
    assert links(response, "trades") == [trade.trade_id]
    row = words(response)
    assert "2026-01-01T12:00:00.000Z BTC-USD buy 65123.45 0.5000 32561.725000 USD 2 1" in row


@pytest.mark.parametrize(
    "address",
    [
        "/admin/trades/",
        "/admin/trades/?account=3",
        "/admin/trades/?symbol=BTC-USD",
        "/admin/trades/?symbol=btc-usd&day=2026-01-01",
        "/admin/trades/?first=100&last=500",
        "/admin/trades/?account=2&first=100&last=500",
        "/admin/trades/?account=2&symbol=BTC-USD",
        "/admin/trades/?day=2026-01-02",
    ],
)
def test_paging_lists_every_row_once(operator: Client, market: Market, address: str) -> None:
    market.run(2 * PAGE_ROWS + 20)
    market.run(PAGE_ROWS, "ETH-USD")
    market.time_ns += DAY_NS
    market.run(2 * PAGE_ROWS)
    kept = [trade for trade in market.settled if matches(trade._asdict(), address)]
    assert len(kept) > PAGE_ROWS
    assert walk(operator, address) == [trade.trade_id for trade in reversed(kept)]


def matches(trade: dict[str, int | str], address: str) -> bool:
    """The same filters, applied to every trade."""
    query = dict(part.split("=") for part in address.partition("?")[2].split("&") if part)
    day = "2026-01-01" if int(trade["timestamp_ns"]) // DAY_NS == 1_767_268_800 // 86_400 else "2026-01-02"
    return (
        query.get("account", str(trade["buyer"])) in (str(trade["buyer"]), str(trade["seller"]))
        and query.get("symbol", str(trade["symbol"])).upper() == trade["symbol"]
        and query.get("day", day) == day
        and int(query.get("first", 0)) <= int(trade["trade_id"]) <= int(query.get("last", 10**9))
    )


@pytest.mark.parametrize("query", ["", "symbol=BTC-USD", "first=30&last=700"])
def test_the_newer_link_returns_over_the_same_pages(operator: Client, market: Market, query: str) -> None:
    market.run(3 * PAGE_ROWS + 7)
    forward: list[list[int]] = []
    step: str | None = f"/admin/trades/?{query}"
    while step:
        response = operator.get(step)
        forward.append(links(response, "trades"))
        step = (older := next_page(response)) and f"/admin/trades/{older}"
    backward = []
    while newer := next_page(response, "newer"):
        response = operator.get(f"/admin/trades/{newer}")
        backward.append(links(response, "trades"))
    assert backward == forward[-2::-1]
    assert next_page(response, "newest") is None


def test_a_trade_id_redirects_to_the_trade(operator: Client, market: Market) -> None:
    response = operator.get("/admin/trades/?id=17")
    assert response.status_code == 302
    assert response["Location"] == "/admin/trades/17/"


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("id=x", "Trade id must be a whole number from 0 to 9223372036854775807, not 'x'."),
        ("id=-1", "Trade id must be a whole number from 0 to 9223372036854775807, not '-1'."),
        ("account=1.5", "Account must be a whole number from 0 to 9223372036854775807, not '1.5'."),
        (
            "account=9223372036854775808",
            "Account must be a whole number from 0 to 9223372036854775807, not '9223372036854775808'.",
        ),
        ("account=%D9%A3", "Account must be a whole number from 0 to 9223372036854775807, not '٣'."),
        ("symbol=A%20B", "Instrument must be 1 to 32 characters of A-Z 0-9 . _ -, not 'A B'."),
        ("symbol=DOGE-USD", "There is no instrument DOGE-USD."),
        ("day=yesterday", "Day must be a date such as 2026-01-31, not 'yesterday'."),
        ("day=2026-02-30", "Day must be a date such as 2026-01-31, not '2026-02-30'."),
        ("day=20260101", "Day must be a date such as 2026-01-31, not '20260101'."),
        ("first=9&last=3", "The range begins at 9, after its end 3."),
        ("id=3&account=1", "A trade id names one trade: leave the other fields empty."),
        ("before=1&after=2", "Before and after cannot be combined: give one of them."),
        (
            "account=1&after=2",
            "Trades of an account can only be paged from newer to older: use before instead of after.",
        ),
    ],
)
def test_a_bad_filter_is_one_sentence(operator: Client, market: Market, query: str, sentence: str) -> None:
    response = operator.get(f"/admin/trades/?{query}")
    assert response.status_code == 400
    assert refusal(response) == sentence


@pytest.mark.parametrize(
    "query", ["day=2020-01-01", "account=99", "symbol=ETH-USD", "first=5000", "before=0", "last=0"]
)
def test_a_filter_without_matches_shows_a_hint(operator: Client, market: Market, query: str) -> None:
    market.run(3)
    response = operator.get(f"/admin/trades/?{query}")
    assert response.status_code == 200
    assert "No matching trades." in words(response)


def test_an_empty_list_explains_where_trades_come_from(operator: Client, store: Store) -> None:
    assert "There are no trades yet." in words(operator.get("/admin/trades/"))


def test_one_trade_with_its_orders_entries_and_block(operator: Client, market: Market) -> None:
    market.trade("ETH-USD", price=341_200, quantity=10_000, maker=3, taker=4, taker_side="sell")
    market.settle()
    trade = market.trade("BTC-USD", price=2_000_000, quantity=5_000, maker=1, taker=2)
    market.settle()
    response = operator.get(f"/admin/trades/{trade.trade_id}/")
    page = words(response)
    assert "BTC-USD taker buys" in page
    assert "Price 20000.00 USD Quantity 0.5000 BTC Notional 10000.000000 USD" in page
    assert "Buyer account 2 Buyer's fee 0.00100000 BTC Seller account 1 Seller's fee 10.000000 USD" in page
    assert links(response, "orders") == [trade.maker_order_id, trade.taker_order_id]
    assert "Maker" in page
    assert f"Hash {market.hash:016x}" in page
    assert f"Previous hash {market.prev_hash:016x}" in page
    assert "fee BTC -0.00100000 0.00000000 10000.49900000 0.00000000" in page
    assert "fee USD +10.000000" in page
    assert "0 house" in page


def test_the_fee_of_a_selling_taker_is_shown_for_the_seller(operator: Client, market: Market) -> None:
    trade = market.trade("ETH-USD", price=341_200, quantity=10_000, maker=3, taker=4, taker_side="sell")
    market.settle()
    page = words(operator.get(f"/admin/trades/{trade.trade_id}/"))
    assert "ETH-USD taker sells" in page
    assert "Buyer account 3 Buyer's fee 0.00100000 ETH Seller account 4 Seller's fee 6.824000 USD" in page


def test_a_trade_without_its_block_and_orders_is_still_shown(operator: Client, market: Market) -> None:
    trade = market.trade("BTC-USD", price=2_000_000, quantity=5_000, maker=1, taker=2)
    stranger = trade._replace(trade_id=900, block_number=80, maker_order_id=901, taker_order_id=902)
    market.store.insert_trade(stranger)
    page = words(operator.get("/admin/trades/900/"))
    assert "The store has this trade but not its block" in page
    assert "The store does not have this order." in page
