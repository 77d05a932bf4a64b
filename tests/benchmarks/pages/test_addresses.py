"""No page is left out of the benchmark because somebody forgot it."""

from datetime import UTC, datetime

import pytest
from django.urls import resolve

from back_office import urls
from benchmarks.pages import addresses
from settlement.errors import CannotRun
from settlement.models import ReconciliationRun
from settlement.stores.sql.store import SqlStore
from tests.back_office.conftest import NOON_NS
from tests.back_office.market import Market

ACTIONS = {
    *("describe", "acknowledge", "mute", "unmute", "test_notification", "approve", "refuse", "withdraw"),
    *("request_preview", "ask", "revoke_api_key", "create_api_key", "reconcile", "replay"),
    *("begin_second_factor", "confirm_second_factor", "new_backup_codes", "remove_second_factor"),
    *("verify_second_factor", "reset_second_factor"),
}
"""They change something, so they are not asked for."""
OF_NO_ROW = {"request", "request_state", "api_key", "dead_letter", "user_second_factor"}
"""Pages of a row that the store of this test lacks."""
OF_A_LOGIN = {"second_factor_code"}
"""Who has logged in already is led away from it."""


@pytest.fixture
def store(db: None) -> SqlStore:
    made = SqlStore()
    made.connect()
    return made


def test_every_page_has_an_address(store: SqlStore) -> None:
    market = Market(store, NOON_NS)
    market.open()
    market.run(60)
    at = datetime.now(UTC)
    ReconciliationRun.objects.create(started_at=at, block_number=1, difference_count=0, ok=True, report={})
    found = addresses.addresses(store)
    own = {one.page for one in found} - set(addresses.THEME_PAGES)
    assert own | ACTIONS | OF_NO_ROW | OF_A_LOGIN == {str(pattern.name) for pattern in urls.pages()}
    assert not own & (ACTIONS | OF_NO_ROW | OF_A_LOGIN)
    assert all(resolve(one.url.partition("?")[0]).url_name == one.page for one in found)


def test_a_store_without_trades_has_no_addresses(store: SqlStore) -> None:
    with pytest.raises(CannotRun, match="The store has no trades"):
        addresses.addresses(store)
