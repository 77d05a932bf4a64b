"""Lookups that commands and pages share."""

from settlement.lookups import entries_of_event, registry_of
from settlement.stores.base import Store
from tests.settlement.chains import worked_example
from tests.settlement.conftest import Settle
from tests.settlement.fakes import FakeClock, feed_of

TRADE = 8


def test_the_entries_of_a_trade_are_found_by_account_and_given_by_leg(
    store: Store, settle: Settle, clock: FakeClock
) -> None:
    settle(store, feed_of(clock, worked_example().blocks))
    instrument = registry_of(store.definitions()).instrument_by_symbol["BTC-USD"]
    for known in (instrument, None):
        entries = entries_of_event(store, TRADE, (2, 1, 0, 2), known)
        assert [(entry.leg, entry.account) for entry in entries] == [
            *((leg, 2) for leg in range(4)),
            *((leg, 1) for leg in range(4, 7)),
            *((leg, 0) for leg in range(7, 9)),
        ]
    assert [entry.leg for entry in entries_of_event(store, TRADE, (1,), instrument)] == [4, 5, 6]
