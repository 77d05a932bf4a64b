"""verify_settlement finds every changed row, and nothing in an unchanged store."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from matching.core.blocks import Block
from matching.core.engine import Engine
from matching.core.errors import BadMessage
from settlement.audit import verify
from settlement.stores.base import Store
from tests.settlement.audit.verify.conftest import CHAIN, LAST, Verify, change, differing, value


def test_an_unchanged_store_has_no_differences(verified: Verify) -> None:
    report = verified()
    assert differing(report) == []
    assert (report.from_block, report.to_block, report.blocks, report.behind) == (1, LAST, LAST, 0)
    assert report.trades == value("SELECT COUNT(*) FROM settled_trades") > 40
    assert report.state_hash == f"{CHAIN.engine.state_hash:016x}"


def test_an_empty_store_is_in_order(store: Store, folder: Path) -> None:
    report = verify.verify(store, folder, Engine())
    assert differing(report) == []
    assert (report.blocks, report.trades, report.state_hash) == (0, 0, "0" * 16)


# Trades


def test_a_changed_trade_is_named_with_what_was_expected_and_found(verified: Verify) -> None:
    trade_id = value("SELECT MAX(trade_id) FROM settled_trades")
    change("UPDATE settled_trades SET price = price + 1 WHERE trade_id = %s", trade_id)
    report = verified()
    assert differing(report) == [f"trade {trade_id}"]
    expected, found = report.differences[0].expected, report.differences[0].found
    price = expected["price"]
    assert (expected, found) == ({"price": price}, {"price": price + 1})
    assert str(report.differences[0]) == f"trade {trade_id}: expected price {price}, found price {price + 1}"


def test_a_removed_trade_is_named(verified: Verify) -> None:
    trade_id = value("SELECT MIN(trade_id) FROM settled_trades")
    change("DELETE FROM settled_trades WHERE trade_id = %s", trade_id)
    report = verified()
    assert differing(report) == [f"trade {trade_id}"]
    assert report.differences[0].expected["trade_id"] == trade_id
    assert report.differences[0].found is None


@pytest.mark.parametrize("trade_id", [0, 1, 10**9])
def test_an_added_trade_is_named(verified: Verify, trade_id: int) -> None:
    columns = "block_number, timestamp_ns, symbol, price, quantity, taker_side, maker_order_id, taker_order_id, buyer, "
    columns += "seller, buyer_fee, seller_fee, trade_number"
    change(
        f"INSERT INTO settled_trades (trade_id, {columns}) SELECT %s, {columns} FROM settled_trades "
        "WHERE trade_id = (SELECT MAX(trade_id) FROM settled_trades)",
        trade_id,
    )
    report = verified()
    assert differing(report) == [f"trade {trade_id}"]
    assert report.differences[0].expected is None


# Candles and days


@pytest.mark.parametrize("which", ["MIN", "MAX"])
@pytest.mark.parametrize("column", ["open", "close", "volume", "trade_count"])
def test_a_changed_candle_is_named(verified: Verify, which: str, column: str) -> None:
    last = value(f"SELECT {which}(last_trade_id) FROM candles")
    change(f"UPDATE candles SET {column} = {column} + 1 WHERE last_trade_id = %s", last)
    symbol = value(f"SELECT symbol FROM candles WHERE last_trade_id = {last}")
    minute_ns = value(f"SELECT minute_ns FROM candles WHERE last_trade_id = {last}")
    report = verified()
    assert differing(report) == [f"candle {symbol}:{minute_ns}"]
    assert list(report.differences[0].expected) == [column]


def test_a_removed_candle_is_named(verified: Verify) -> None:
    last = value("SELECT MIN(last_trade_id) FROM candles")
    change("DELETE FROM candles WHERE last_trade_id = %s", last)
    (difference,) = verified().differences
    assert (difference.what, difference.expected["last_trade_id"], difference.found) == ("candle", last, None)


def test_a_candle_that_later_blocks_changed_is_not_compared(verified: Verify) -> None:
    for last in range(1, LAST + 1):
        assert differing(verified(1, last)) == []


def test_a_changed_trading_day_is_named(verified: Verify) -> None:
    last = value("SELECT MAX(last_trade_id) FROM trading_days")
    change("UPDATE trading_days SET first_trade_id = first_trade_id + 1 WHERE last_trade_id = %s", last)
    assert differing(verified()) == [f"trading day {value('SELECT MAX(day) FROM trading_days')}"]


# Ledger


@pytest.mark.parametrize("column", ["delta_available", "available_after", "locked_after", "account"])
def test_a_changed_ledger_entry_is_named(verified: Verify, column: str) -> None:
    entry = value("SELECT entry FROM ledger_events WHERE entry % 16 = 2 LIMIT 1")
    change(f"UPDATE ledger_events SET {column} = {column} + 1 WHERE entry = %s", entry)
    assert differing(verified()) == [f"ledger entry {entry >> 4}:2"]


def test_a_removed_ledger_entry_is_named(verified: Verify) -> None:
    entry = value("SELECT MAX(entry) FROM ledger_events")
    change("DELETE FROM ledger_events WHERE entry = %s", entry)
    assert differing(verified()) == [f"ledger entry {entry >> 4}:{entry & 15}"]


@pytest.mark.parametrize("sequence", [0, 1, 10**9])
def test_an_added_ledger_entry_is_named(verified: Verify, sequence: int) -> None:
    columns = (
        "block_number, timestamp_ns, account, asset, kind, delta_available, delta_locked, available_after, locked_after"
    )
    change(
        f"INSERT INTO ledger_events (entry, {columns}) SELECT %s, {columns} FROM ledger_events "
        "WHERE entry = (SELECT MAX(entry) FROM ledger_events)",
        sequence * 16 + 7,
    )
    assert differing(verified()) == [f"ledger entry {sequence}:7"]


# Balances


@pytest.mark.parametrize(("column", "more"), [("available", 1), ("locked", 1), ("sequence", 10**6), ("sequence", -1)])
def test_a_changed_balance_is_named(verified: Verify, column: str, more: int) -> None:
    account = value("SELECT MAX(account) FROM balances")
    asset = value(f"SELECT MAX(asset) FROM balances WHERE account = {account}")
    change(f"UPDATE balances SET {column} = {column} + {more} WHERE account = %s AND asset = %s", account, asset)
    assert differing(verified()) == [f"balance {account}:{asset}"]


def test_a_removed_and_an_added_balance_are_named(verified: Verify) -> None:
    asset = value("SELECT MAX(asset) FROM balances WHERE account = 1")
    change("UPDATE balances SET account = 77 WHERE account = 1 AND asset = %s", asset)
    assert sorted(differing(verified())) == [f"balance 1:{asset}", f"balance 77:{asset}"]


# Orders


@pytest.mark.parametrize("status", ["open", "waiting", "filled", "cancelled"])
@pytest.mark.parametrize("assignment", ["price = price + 1", "filled = filled + 1", "account = account + 1"])
def test_a_changed_order_is_named(verified: Verify, status: str, assignment: str) -> None:
    order_id = value(f"SELECT MAX(order_id) FROM orders WHERE status = '{status}' AND price IS NOT NULL")
    change(f"UPDATE orders SET {assignment} WHERE order_id = %s", order_id)
    assert differing(verified()) == [f"order {order_id}"]


@pytest.mark.parametrize(
    ("status", "claimed"), [("open", "filled"), ("filled", "open"), ("cancelled", "open"), ("waiting", "open")]
)
def test_an_order_in_the_wrong_state_is_named(verified: Verify, status: str, claimed: str) -> None:
    order_id = value(f"SELECT MAX(order_id) FROM orders WHERE status = '{status}'")
    change("UPDATE orders SET status = %s WHERE order_id = %s", claimed, order_id)
    assert differing(verified()) == [f"order {order_id}"]


@pytest.mark.parametrize("column", ["trigger_price", "visible_quantity", "order_list_id", "triggered_at_ns"])
def test_a_changed_term_of_an_order_is_named(verified: Verify, column: str) -> None:
    order_id = value(f"SELECT MAX(order_id) FROM orders WHERE {column} IS NOT NULL")
    change(f"UPDATE orders SET {column} = NULL WHERE order_id = %s", order_id)
    assert differing(verified()) == [f"order {order_id}"]


@pytest.mark.parametrize("status", ["open", "waiting", "filled"])
def test_a_removed_order_is_named(verified: Verify, status: str) -> None:
    order_id = value(f"SELECT MIN(order_id) FROM orders WHERE status = '{status}'")
    change("DELETE FROM orders WHERE order_id = %s", order_id)
    assert differing(verified()) == [f"order {order_id}"]


@pytest.mark.parametrize(
    ("order_id", "status"), [(1, "open"), (1, "filled"), (10**9, "filled"), (0, "open"), (0, "filled")]
)
def test_an_added_order_is_named(verified: Verify, order_id: int, status: str) -> None:
    place = value("SELECT MIN(order_id) FROM orders WHERE status = 'filled'")
    names = [column[0] for column in columns_of("orders") if column[0] not in ("order_id", "status")]
    columns = ", ".join(names)
    change(
        f"INSERT INTO orders (order_id, status, {columns}) SELECT %s, %s, {columns} FROM orders WHERE order_id = %s",
        order_id,
        status,
        place,
    )
    assert differing(verified()) == [f"order {order_id}"]


def columns_of(table: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        return cursor.description


def test_an_order_that_claims_a_later_event_is_named(verified: Verify) -> None:
    order_id = value("SELECT MAX(order_id) FROM orders WHERE status = 'open'")
    change("UPDATE orders SET updated_sequence = 1000000, remaining = 1 WHERE order_id = %s", order_id)
    assert differing(verified()) == [f"order {order_id}"]


# Account settings


@pytest.mark.parametrize("assignment", ["status = 'frozen'", "maker_fee = 77", "symbol = 'X'"])
def test_a_changed_account_setting_is_named(verified: Verify, assignment: str) -> None:
    sequence = value("SELECT MAX(sequence) FROM account_settings WHERE kind = 'fees'")
    account, symbol = (value(f"SELECT {name} FROM account_settings WHERE sequence = {sequence}") for name in KEY)
    change(f"UPDATE account_settings SET {assignment} WHERE sequence = %s", sequence)
    named = {f"account setting {account}:fees:{symbol}"}
    assert set(differing(verified())) == named | ({f"account setting {account}:fees:X"} if "X" in assignment else set())


KEY = ("account", "symbol")


def test_a_removed_account_setting_is_named(verified: Verify) -> None:
    account = value("SELECT MIN(account) FROM account_settings WHERE kind = 'status'")
    change("DELETE FROM account_settings WHERE kind = 'status' AND account = %s", account)
    assert differing(verified()) == [f"account setting {account}:status:"]


# Blocks


def test_every_changed_byte_of_a_block_is_named(verified: Verify) -> None:
    original = value("SELECT data FROM engine_blocks WHERE number = 9")
    for byte in [*range(0, 120, 7), len(original) - 1]:
        changed = bytearray(original)
        changed[byte] ^= 4
        change("UPDATE engine_blocks SET data = %s WHERE number = 9", bytes(changed))
        assert differing(verified()) == ["block 9"], byte


@pytest.mark.parametrize("column", ["timestamp_ns", "trade_count", "last_event_sequence", "epoch"])
def test_a_changed_column_of_a_block_is_named(verified: Verify, column: str) -> None:
    change(f"UPDATE engine_blocks SET {column} = {column} + 1 WHERE number = 9")
    assert differing(verified()) == ["block row 9"]


def test_a_changed_hash_column_is_named(verified: Verify) -> None:
    change("UPDATE engine_blocks SET hash = %s WHERE number = 9", "0" * 16)
    assert differing(verified()) == ["block row 9"]


@pytest.mark.parametrize("number", [1, 9, LAST])
def test_a_removed_block_is_named(verified: Verify, number: int) -> None:
    change("DELETE FROM engine_blocks WHERE number = %s", number)
    assert differing(verified()) == [f"block {number}"]


def test_a_block_that_differs_from_its_re_execution_is_named(verified: Verify) -> None:
    class OneLotMore(Engine):
        def follow(self, block: Block) -> Block:
            made = super().follow(block)
            return made if made.number != 9 else Block.decode(made.data[:-1] + b"x")

    report = verified(engine=OneLotMore())
    assert differing(report) == ["block 9"]
    assert report.differences[0].expected.startswith("the re-executed block, hash ")


def test_a_block_that_cannot_be_executed_is_named(verified: Verify) -> None:
    class Refusing(Engine):
        def follow(self, block: Block) -> Block:
            raise BadMessage("An instrument that does not exist.")

    report = verified(engine=Refusing())
    assert differing(report) == ["block 1"]
    assert report.differences[0].found == "An instrument that does not exist."


def test_a_checkpoint_with_another_hash_is_named(verified: Verify) -> None:
    change("UPDATE settlement_checkpoints SET hash = %s WHERE stage = 'projected'", "0" * 16)
    assert differing(verified()) == ["checkpoint projected"]


def test_a_changed_definition_is_named(verified: Verify) -> None:
    change("UPDATE definitions SET text = %s WHERE event_sequence = 1", '{"command":"asset","symbol":"X","decimals":1}')
    assert differing(verified()) == ["definition 1"]


# Candles of an earlier version


def test_what_was_paid_in_a_minute_is_compared(verified: Verify) -> None:
    minute_ns = value("SELECT MAX(minute_ns) FROM candles")
    change(
        "UPDATE candles SET quote_volume = quote_volume + 1 WHERE minute_ns = %s AND symbol = "
        "(SELECT MIN(symbol) FROM candles WHERE minute_ns = %s)",
        minute_ns,
        minute_ns,
    )
    (difference,) = verified().differences
    assert (difference.what, list(difference.expected)) == ("candle", ["quote_volume"])


def test_minutes_that_an_earlier_version_projected_are_no_differences(verified: Verify) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE candles SET quote_volume = NULL, taker_buy_volume = NULL, taker_buy_quote_volume = NULL")
    assert differing(verified()) == []


def test_one_volume_alone_is_not_missing_in_an_earlier_version(verified: Verify) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE candles SET taker_buy_volume = NULL")
        changed = cursor.rowcount
    assert verified().difference_count == changed > 0


# Deposits and withdrawals


def test_a_changed_reference_is_named(verified: Verify) -> None:
    number = value("SELECT MAX(event_sequence) FROM transfers")
    change("UPDATE transfers SET reference = 'other' WHERE event_sequence = %s", number)
    report = verified()
    assert differing(report) == [f"transfer {number}"]
    assert report.differences[0].found == {"reference": "other"}


def test_a_removed_and_an_added_transfer_are_named(verified: Verify) -> None:
    number = value("SELECT MAX(event_sequence) FROM transfers")
    change("UPDATE transfers SET event_sequence = event_sequence + 1 WHERE event_sequence = %s", number)
    assert differing(verified()) == [f"transfer {number + 1}", f"transfer {number}"]


@pytest.mark.parametrize("which", ["MIN", "MAX"])
def test_a_removed_transfer_is_named(verified: Verify, which: str) -> None:
    number = value(f"SELECT {which}(event_sequence) FROM transfers")
    change("DELETE FROM transfers WHERE event_sequence = %s", number)
    assert differing(verified()) == [f"transfer {number}"]


def test_transfers_of_blocks_that_an_earlier_version_projected_may_be_missing(verified: Verify) -> None:
    first, last = (value(f"SELECT {which}(event_sequence) FROM transfers") for which in ("MIN", "MAX"))
    number = value(f"SELECT block_number FROM transfers WHERE event_sequence = {first}")
    change("INSERT INTO settlement_checkpoints VALUES ('transfers', %s, '0000000000000000', 1)", number)
    change("DELETE FROM transfers WHERE event_sequence = %s", first)
    assert differing(verified()) == []
    change("DELETE FROM transfers WHERE event_sequence = %s", last)
    assert differing(verified()) == [f"transfer {last}"]
