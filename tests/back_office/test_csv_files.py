"""Files of rows as CSV, and the lists that can be had as such files."""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from html import unescape
from typing import cast

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from django.test import Client, RequestFactory

from back_office import csv_files
from back_office.models import AuditRecord
from back_office.pages import trades
from settlement.stores.base import Store
from tests.back_office.conftest import links, refusal, words
from tests.back_office.market import Market

DAY = "2026-01-01"


def text_of(response: StreamingHttpResponse) -> str:
    return b"".join(cast(Iterator[bytes], response.streaming_content)).decode()


def read(client: Client, address: str) -> list[dict[str, str]]:
    response = client.get(address)
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith('attachment; filename="')
    return list(csv.DictReader(io.StringIO(text_of(cast(StreamingHttpResponse, response)))))


def sent(rows: list[list[object]]) -> list[str]:
    request = RequestFactory().get("/")
    return text_of(csv_files.download(request, "rows", ["a"], rows)).splitlines()


def test_cells_that_a_spreadsheet_would_execute_are_marked_as_text() -> None:
    cells: list[list[object]] = [["=1+1"], ["@x"], ["+49 1"], ["-2.50"], ["+3"], [None], ["-x"]]
    assert sent(cells) == ["a", "'=1+1", "'@x", "'+49 1", "-2.50", "+3", '""', "'-x"]


def test_a_file_that_is_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "PIECE_ROWS", 2)
    monkeypatch.setattr(csv_files, "MAX_ROWS", 4)
    whole: list[list[object]] = [[number] for number in range(4)]
    assert sent(whole) == ["a", "0", "1", "2", "3"]
    assert sent([*whole, [4]])[-1] == "There are more than 4 rows. Filter for fewer to see the others."


def test_by_asgi_rows_are_read_while_the_file_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_files, "PIECE_ROWS", 2)
    taken: list[int] = []

    def rows() -> Iterator[list[object]]:
        for number in range(6):
            taken.append(number)
            yield [number]

    async def first_two_pieces() -> None:
        request = ASGIRequest({"type": "http", "method": "GET", "path": "/", "headers": []}, io.BytesIO())
        response = csv_files.download(request, "rows", ["a"], rows())
        pieces = cast(AsyncIterator[bytes], response.streaming_content)
        assert await anext(pieces) == b"a\r\n"
        assert await anext(pieces) == b"0\r\n1\r\n"
        assert taken == [0, 1]
        assert await anext(pieces) == b"2\r\n3\r\n"

    asyncio.run(first_two_pieces())


@pytest.mark.parametrize("query", ["", "?account=2", "?symbol=ETH-USD", f"?account=3&day={DAY}&side=sell"])
def test_a_file_of_trades_has_what_the_pages_list(operator: Client, market: Market, query: str) -> None:
    market.run(70)
    market.run(10, "ETH-USD")
    address = "/admin/trades/"
    listed: list[int] = []
    step: str | None = query
    while step is not None:
        response = operator.get(address + step)
        listed += links(response, "trades")
        step = next_step(words_of(response), query)
    assert listed
    assert [int(row["id"]) for row in read(operator, f"/admin/trades/csv/{query}")] == listed


def words_of(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined,no-any-return]


def next_step(page: str, query: str) -> str | None:
    older = page.partition('id="older"')[2].partition('href="')[2].partition('"')[0]
    return older.replace("&amp;", "&") or None


def test_totals_of_an_account_on_a_day_by_side(operator: Client, market: Market) -> None:
    market.run(120)
    day = [trade for trade in market.settled if 3 in (trade.buyer, trade.seller)]
    sold = [trade for trade in day if trade.seller == 3]
    quantity = sum((Decimal(trade.quantity) / 10_000 for trade in sold), Decimal(0))
    page = words(operator.get(f"/admin/trades/?account=3&day={DAY}&side=sell"))
    assert f"BTC-USD {len(sold)} 0.0000 BTC" in page
    assert f" {quantity:.4f} BTC" in page.partition("Totals of account 3")[2]
    assert "Totals" not in words(operator.get("/admin/trades/?account=3"))


def test_totals_of_very_many_trades_are_made_only_on_demand(
    operator: Client, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trades, "TOTALLED_AT_ONCE", 4)
    for _ in range(5):
        market.trade("BTC-USD", 6_512_345, 5_000, maker=1, taker=2)
    market.settle()
    page = operator.get("/admin/trades/?account=1&day=2026-01-01")
    assert "No totals: the account has more than 4 trades on this day." in words(page)
    link = re.search(r'<a id="make-totals" href="([^"]+)"', page.content.decode())
    assert link
    assert "Totals of account 1" in words(operator.get("/admin/trades/" + unescape(link[1])))
    monkeypatch.setattr(csv_files, "MAX_ROWS", 4)
    refused = operator.get("/admin/trades/?account=1&day=2026-01-01&totals=all")
    assert "more than 4 trades on this day." in words(refused)
    assert "make-totals" not in refused.content.decode()


def test_a_side_without_account_and_day_is_refused(operator: Client, market: Market) -> None:
    response = operator.get("/admin/trades/?account=3&side=sell")
    assert response.status_code == 400
    assert refusal(response) == "A side is that of an account on a day: give both, too."
    export = operator.get("/admin/trades/csv/?account=3&side=sell")
    assert export.status_code == 400
    assert "BTC-USD" in words(export), "the form still offers the instruments"
    assert "must be buy or sell" in refusal(operator.get("/admin/trades/?account=3&side=up"))


def test_a_file_of_orders_and_one_of_a_statement(operator: Client, market: Market, store: Store) -> None:
    market.run(30)
    orders = read(operator, "/admin/orders/csv/?account=2")
    stored = store.get_orders_by_account(2, 1000)
    assert [int(row["id"]) for row in orders] == [order.order_id for order in stored]
    entries = read(operator, "/admin/accounts/2/csv/")
    found = store.get_ledger_events_by_account(2, 1000)
    assert [(int(row["sequence"]), int(row["leg"])) for row in entries] == [(e.event_sequence, e.leg) for e in found]
    named = set(AuditRecord.objects.filter(action="list.export").values_list("target", flat=True))
    assert named == {"list:orders", "list:statement of 2"}
