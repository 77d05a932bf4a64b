"""Pages about rows that are released to the archive: as before, with a note."""

from pathlib import Path

import pytest
from django.test import Client

from archive import wiring as archive_wiring
from archive.archiving import archive_days
from archive.releasing import release_days
from back_office import urls
from matching.core.engine import Engine
from settlement import wiring
from settlement.project.columns.trades import day_of
from settlement.stores.base import OPEN_STATUSES
from settlement.stores.sql.store import SqlStore
from tests.archive.days import chain_of_days, settle
from tests.back_office.conftest import words

NOTE = "From the archive: old days are released from the store."


@pytest.fixture
def released(db: None, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> SqlStore:
    """The database of a market whose complete days will be released; the pages open their store anew."""
    store = SqlStore()
    store.connect()
    settle(store, chain_of_days().blocks)
    opened = wiring.store()
    monkeypatch.setattr(urls.store, "_wrapped", opened)
    return store


def test_pages_of_released_rows_say_so_and_show_the_same(released: SqlStore, operator: Client) -> None:
    trades = released.get_trades_by_sequence_range(1, 10**6, 10**6)
    orders = [one for one in released.get_orders_by_sequence_range(1, 10**6, 10**6) if one.status not in OPEN_STATUSES]
    account, day = trades[0].buyer, day_of(trades[0].timestamp_ns)
    pages = [
        f"/admin/trades/{trades[0].trade_id}/",
        f"/admin/orders/{orders[0].order_id}/",
        "/admin/blocks/1/",
        f"/admin/trades/?account={account}",
        f"/admin/orders/?account={account}",
        f"/admin/accounts/{account}/?to={day}",
    ]
    newest = f"/admin/blocks/{released.appended().block_number}/"
    before = [words(operator.get(page)) for page in pages]
    assert not any(NOTE in page for page in before)

    archive = archive_wiring.archive()
    archive_days(released, archive)
    assert release_days(released, archive, Engine(), through=archive.complete()[-1].partition.day).rows > 0

    for page, shown in zip(pages, before, strict=True):
        found = words(operator.get(page))
        assert NOTE in found, page
        assert found.replace(f"{NOTE} ", "") == shown, page
    assert NOTE not in words(operator.get(newest))
