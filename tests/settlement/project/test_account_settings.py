"""Rows of what operators set: status and fees of accounts, and changed values of instruments."""

import json

import pytest

from matching.core.reading.account_settings import account_settings
from settlement.lookups import registry_of
from settlement.stores.base import AccountSetting
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of
from tests.settlement.project.test_projection import forgetless, funded


def test_a_status_and_fees_are_rows_by_account_and_instrument() -> None:
    fees = {"command": "account_fees", "account": 3}
    chain = funded().add({"command": "account_status", "account": 3, "status": "frozen"})
    chain.add({**fees, "symbol": "BTC-USD", "maker_fee": 0, "taker_fee": 5}, {**fees, "maker_fee": 7, "taker_fee": 8})
    assert forgetless().project(chain.blocks).settings == [
        AccountSetting(3, "status", "", "frozen", None, None, 10),
        AccountSetting(3, "fees", "BTC-USD", None, 0, 5, 11),
        AccountSetting(3, "fees", "", None, 7, 8, 12),
    ]


def test_a_batch_has_the_last_setting_of_each_kind_also_one_that_takes_fees_away() -> None:
    status = {"command": "account_status", "account": 3}
    chain = funded().add({**status, "status": "frozen"}, {**status, "status": "active"})
    chain.add({"command": "account_fees", "account": 3, "maker_fee": None, "taker_fee": None})
    assert forgetless().project(chain.blocks).settings == [
        AccountSetting(3, "status", "", "active", None, None, 11),
        AccountSetting(3, "fees", "", None, None, None, 12),
    ]


def test_a_changed_instrument_is_a_definition_with_decimals() -> None:
    change = {"min_quantity": "0.001", "max_quantity": "50", "min_notional": "1.5", "price_band": 50_000}
    update = {"command": "instrument_update", "symbol": "BTC-USD", **change, "max_open_orders": 7}
    chain = funded().add(update, {**update, "min_quantity": "60"}, {**update, "maker_fee": 0, "taker_fee": 9})
    definitions = forgetless().project(chain.blocks).definitions
    assert [definition.event_sequence for definition in definitions] == [1, 2, 3, 10, 12]
    assert json.loads(definitions[-2].text) == update
    assert json.loads(definitions[-1].text) == {**update, "maker_fee": 0, "taker_fee": 9}
    assert registry_of(definitions).instruments == chain.engine.registry.instruments


@pytest.mark.parametrize("seed", range(3))
def test_settings_and_instruments_end_as_the_engine_has_them(seed: int) -> None:
    chain = chain_of(random_commands(seed, 1200, instruments=3, wild=False))
    projector = forgetless()
    definitions = list(projector.project(chain.blocks).definitions)
    in_force = [row[:-1] for row in projector.settings() if row.status != "active" and row[3:6] != (None, None, None)]
    assert in_force == account_settings(chain.engine)
    assert in_force
    assert registry_of(definitions).instruments == chain.engine.registry.instruments
    assert registry_of(definitions).instruments == projector.registry.instruments
