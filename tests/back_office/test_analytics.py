"""The analytics pages: figures in decimals, charts, exports, refusals."""

import csv
import io
import json
import re
import threading
from pathlib import Path

import pytest
from django.test import Client
from pyarrow import parquet

from analytics.errors import QueryTooLarge
from archive import wiring
from archive.archiving import archive_days
from back_office.figures.tables import FIGURES
from back_office.models import AuditRecord
from back_office.pages import analytics
from settlement.stores.base import Store
from tests.archive.days import chain_of_days, settle
from tests.back_office.access.test_permissions import staff
from tests.back_office.conftest import ON_SQL, html, refusal, words

pytestmark = ON_SQL

DAYS = "from=2026-01-30&to=2026-02-01"


@pytest.fixture
def days(store: Store, data_dir: Path) -> Store:
    """Three days, of which two are archived."""
    settle(store, chain_of_days().blocks)
    archive_days(store, wiring.archive())
    return store


def page(figure: str, more: str = "") -> str:
    path = "accounts/" if figure == "top_accounts" else ""
    return f"/admin/analytics/{path}?figure={figure}&{DAYS}{more}"


@pytest.mark.parametrize("figure", [one.name for one in FIGURES if one.name != "self_trades_prevented"])
def test_every_figure_has_a_page_with_rows(operator: Client, days: Store, figure: str) -> None:
    response = operator.get(page(figure))
    assert response.status_code == 200
    assert 'id="figures"' in html(response)
    named = next(one for one in FIGURES if one.name == figure)
    assert all(column.title in words(response) for column in named.columns)
    assert ("<svg" in html(response)) is bool(named.charted or figure == "heat_map")


def test_volume_is_shown_in_decimals_newest_first(operator: Client, days: Store) -> None:
    text = words(operator.get(page("volume")))
    assert "2026-02-01 BTC-USD 1 0.0050 98.750000 USD 2026-01-31 BTC-USD 10 0.8500 16908.500000 USD" in text


def test_fees_and_accounts_are_shown_in_their_assets(operator: Client, days: Store) -> None:
    assert "2026-02-01 BTC-USD 0.00001000 BTC 0.000000 USD" in words(operator.get(page("fees")))
    assert re.search(r"1 USD 1 12 25\d*\.\d{6} USD", words(operator.get(page("top_accounts"))))
    assert 'href="/admin/accounts/1/"' in html(operator.get(page("top_accounts")))


def test_a_bucket_is_chosen(operator: Client, days: Store) -> None:
    assert "2026-01-31 10:00 BTC-USD 3 0.2000" in words(operator.get(page("volume", "&by=hour")))


def test_a_chart_has_a_bar_for_each_bucket(operator: Client, days: Store) -> None:
    text = html(operator.get(page("volume")))
    assert len(re.findall(r'<rect class="bar"', text)) == 3
    assert "<title>2026-01-31: 16908.500000 USD</title>" in text


def test_the_heat_map_has_a_cell_for_each_hour_of_a_week(operator: Client, days: Store) -> None:
    text = html(operator.get(page("heat_map")))
    assert len(re.findall(r'<rect class="heat heat-\d"', text)) == 7 * 24
    assert "<title>Sat 10:00 UTC: 3</title>" in text


def test_a_page_has_no_inline_style(operator: Client, days: Store) -> None:
    for figure in ("volume", "heat_map"):
        content = html(operator.get(page(figure))).partition('<div class="office">')[2]
        assert " style=" not in content
        assert "<style" not in content


def test_rows_of_one_instrument_are_chosen(operator: Client, days: Store) -> None:
    assert "BTC-USD 10" in words(operator.get(page("volume", "&symbol=BTC-USD")))
    assert "Nothing happened in these days." in words(operator.get(page("volume", "&symbol=ETH-USD")))


def test_rows_of_one_instrument_are_exported(operator: Client, days: Store) -> None:
    def lines(symbol: str) -> int:
        answer = operator.get(f"/admin/analytics/export/?{DAYS}&symbol={symbol}")
        return len(b"".join(answer.streaming_content).splitlines())  # type: ignore[attr-defined]

    assert (lines("BTC-USD"), lines("ETH-USD"), lines("")) == (4, 1, 4)


def test_only_who_may_see_accounts_gets_a_link_to_them(operator: Client, days: Store) -> None:
    assert "Top accounts" in words(operator.get(page("volume")))
    viewer = staff("view_settledtrade", "view_order")
    response = viewer.get(page("volume"))
    assert response.status_code == 200
    assert "Top accounts" not in words(response)


def test_days_without_trades_have_an_empty_page(operator: Client, days: Store) -> None:
    assert "Nothing happened in these days. Choose other days" in words(
        operator.get("/admin/analytics/?from=2020-01-01&to=2020-01-31")
    )
    assert "These are the last 7 days. Choose earlier ones" in words(operator.get("/admin/analytics/"))


def test_the_rows_are_exported_as_csv_and_parquet(operator: Client, days: Store) -> None:
    links = re.findall(r'href="([^"]+)" id="export-(\w+)"', html(operator.get(page("volume"))))
    assert [kind for _, kind in links] == ["csv", "parquet"]
    answers = {kind: operator.get(link.replace("&amp;", "&")) for link, kind in links}
    found = {kind: b"".join(answer.streaming_content) for kind, answer in answers.items()}  # type: ignore[attr-defined]
    rows = parquet.read_table(io.BytesIO(found["parquet"])).to_pylist()
    assert [int(row["quote_volume"]) for row in rows] == [10_040_000_000, 16_908_500_000, 98_750_000]
    as_csv = list(csv.DictReader(io.StringIO(found["csv"].decode())))
    assert as_csv == [{name: str(value) for name, value in row.items()} for row in rows]
    assert answers["csv"]["Content-Disposition"] == 'attachment; filename="volume.csv"'
    recorded = AuditRecord.objects.filter(action="list.export", target="list:volume")
    assert {json.loads(record.after)["format"] for record in recorded} == {"csv", "parquet"}


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("?figure=nonsense", "Figure must be one of volume, fees, spread,"),
        ("?figure=top_accounts", "Figure must be one of volume, fees, spread,"),
        ("accounts/?figure=volume", "Figure must be one of top_accounts."),
        ("?by=year", "By must be one of minute, hour, day."),
        ("?from=yesterday", "From must be a date such as 2026-01-31, not 'yesterday'."),
        ("?from=2026-02-01&to=2026-01-01", "The period begins on 2026-02-01, after its end 2026-01-01."),
        ("export/?format=xls", "Format must be one of csv, parquet."),
    ],
)
def test_what_cannot_be_shown_is_refused(operator: Client, days: Store, address: str, sentence: str) -> None:
    response = operator.get(f"/admin/analytics/{address}")
    assert response.status_code == 400
    assert refusal(response).startswith(sentence)


def test_too_many_rows_are_refused(operator: Client, days: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "MAX_ROWS", 2)
    assert refusal(operator.get(page("volume"))).startswith("These days have more than 2 rows: choose fewer days")


def test_a_query_that_takes_too_long_is_told(operator: Client, days: Store, settings: object) -> None:
    settings.ANALYTICS_SECONDS = 0  # type: ignore[attr-defined]
    assert refusal(operator.get(page("volume"))).startswith("The query took longer than the 0 s that it may take")


def test_one_query_runs_at_a_time(days: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "_WAIT_S", 0.01)
    pages = analytics.AnalyticsPages(lambda tree, period: pytest.fail("asked"), None)  # type: ignore[arg-type]
    held = threading.Event()
    with pages._is_busy:
        held.set()
        wanted = analytics.FigureFilter.read({}, FIGURES)
        with (
            pytest.raises(QueryTooLarge, match="Another query of these pages is running"),
            pages._answer(wanted),
        ):
            pass


def test_rows_that_the_store_rejected_are_told(operator: Client, days: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from settlement.stores.sql.store import SqlStore

    letter = type("Letter", (), {"block_number": 30})
    monkeypatch.setattr(SqlStore, "dead_letters", lambda self: [letter])
    assert "the store rejected those of block 30" in words(operator.get(page("volume")))
