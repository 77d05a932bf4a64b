"""The statement of some days as a page, as CSV and as Parquet: all three say the same."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from pyarrow import parquet

from back_office.models import AuditRecord
from back_office.statements import files
from tests.back_office.conftest import words
from tests.back_office.market import Market

DAY_NS = 86_400 * 10**9
SECOND_DAY = "from=2026-01-02&to=2026-01-02"


@pytest.fixture
def three_days(market: Market) -> Market:
    for _ in range(2):
        market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
        market.settle()
        market.time_ns += DAY_NS
    market.trade("BTC-USD", 2_000_000, 5_000, maker=1, taker=2)
    market.place(1, "BTC-USD", "sell", 2_100_000, 1_000)
    market.settle()
    return market


def content(client: Client, query: str) -> bytes:
    response = client.get(f"/admin/accounts/1/csv/?{query}")
    assert response.status_code == 200, words(response)
    return b"".join(cast(Iterator[bytes], cast(StreamingHttpResponse, response).streaming_content))


def as_csv(client: Client, query: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content(client, query).decode())))


def as_parquet(client: Client, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parquet.read_table(io.BytesIO(content(client, f"{query}&format=parquet"))).to_pylist()
    return found


def test_a_page_of_days_shows_opening_and_closing_balances(operator: Client, three_days: Market) -> None:
    page = words(operator.get(f"/admin/accounts/1/?{SECOND_DAY}"))
    table = page.partition("Balances at the beginning of 2026-01-02, and at the end of 2026-01-02")[2]
    assert (
        "BTC 9999.50000000 0.00000000 9999.50000000 -0.50000000 9999.00000000 0.00000000 9999.00000000 "
        "ETH 100000.00000000 0.00000000 100000.00000000 0.00000000 100000.00000000" in table
    )
    assert "2026-01-02T12:00:00.000Z" in table
    assert "2026-01-01T" not in table
    assert "2026-01-03T" not in table
    assert "Balances at first, and now" not in words(operator.get("/admin/accounts/1/"))
    assert "There are no entries in these days." in words(operator.get("/admin/accounts/1/?to=2020-01-01"))


def test_a_file_begins_with_the_closing_and_ends_with_the_opening_balances(
    operator: Client, three_days: Market
) -> None:
    rows = as_csv(operator, f"{SECOND_DAY}&asset=BTC")
    kinds = [row["kind"] for row in rows]
    assert kinds == ["closing_balance", "trade_debit", "lock", "opening_balance"]
    assert [row["time"] for row in rows[::3]] == ["2026-01-02T23:59:59.999Z", "2026-01-02T00:00:00.000Z"]
    assert [row["available_after"] for row in rows[::3]] == ["9999.00000000", "9999.50000000"]
    assert rows[0]["sequence"] == rows[0]["block"] == rows[0]["delta_available"] == ""
    assert rows[1]["available_after"] == rows[0]["available_after"]


@pytest.mark.parametrize("query", ["", SECOND_DAY, "from=2026-01-02", "to=2026-01-02&asset=USD", "to=2020-01-01"])
def test_parquet_has_the_rows_of_the_csv_with_types(operator: Client, three_days: Market, query: str) -> None:
    text, typed = as_csv(operator, query), as_parquet(operator, query)
    assert [list(row) for row in typed[:1]] == [list(row) for row in text[:1]] == [list(files.COLUMNS)]
    assert [_as_text(row) for row in typed] == [_without_padding(row) for row in text]


def _as_text(row: dict[str, Any]) -> dict[str, Any]:
    time = row["time"]
    assert time is None or (isinstance(time, datetime) and time.tzinfo is not None)
    shown = f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z" if time else ""
    return {name: "" if value is None else value for name, value in row.items()} | {"time": shown}


def _without_padding(row: dict[str, str]) -> dict[str, Any]:
    whole = {name: int(row[name]) if row[name] else "" for name in ("sequence", "leg", "account", "block")}
    amounts = {name: Decimal(row[name]) if row[name] else "" for name in row if name.endswith(("_after", "able", "ed"))}
    return {**row, **whole, **amounts}


def test_what_parquet_cannot_hold_is_refused_with_a_sentence(
    operator: Client, three_days: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_ROWS", 3)
    refused = operator.get("/admin/accounts/1/csv/?format=parquet")
    assert refused.status_code == 400
    assert "There are more than 3 rows: choose fewer days, or filter further." in words(refused)
    assert not AuditRecord.objects.filter(action="list.export").exists()
    unknown = operator.get("/admin/accounts/1/csv/?format=xml")
    assert unknown.status_code == 400
    assert "Format must be one of csv, parquet." in words(unknown)
