"""The SQL store's statements, for both SQLite and PostgreSQL. Columns are in the order of the contract's tuples.

An upsert of mutable state includes the sequence of the event that set it and does not replace a newer row, so a late
or repeated write changes nothing.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, get_args, get_type_hints

from matching.core.epochs import Epoch
from settlement.stores.base import (
    OPEN_STATUSES,
    AccountSetting,
    Balance,
    Candle,
    DeadLetter,
    Definition,
    Order,
    StoredBlock,
    StoredCheckpoint,
    Trade,
    TradingDay,
    Transfer,
)
from settlement.stores.block_parts import Part
from settlement.stores.sql.entries import LEG_BITS as LEG_BITS
from settlement.stores.sql.entries import Entry

BLOCK = ", ".join(StoredBlock._fields)
BLOCK_HEAD = ", ".join(StoredBlock._fields[:-1])
TRADE = ", ".join(Trade._fields)
ORDER = ", ".join(Order._fields)
LEDGER_EVENT = ", ".join(Entry._fields)
TRANSFER = ", ".join(Transfer._fields)
BALANCE = ", ".join(Balance._fields)
ACCOUNT_SETTING = ", ".join(AccountSetting._fields)
CANDLE = ", ".join(Candle._fields)
TRADING_DAY = ", ".join(TradingDay._fields)
DEFINITION = ", ".join(Definition._fields)
CHECKPOINT = "block_number, hash, epoch"
SIGNED_CHECKPOINT = ", ".join(StoredCheckpoint._fields)
EPOCH = ", ".join(Epoch._fields)
DEAD_LETTER = ", ".join(DeadLetter._fields[1:])
DEAD_LETTER_HEAD = ", ".join(DeadLetter._fields[1:-1])

PROJECTED_TABLES = (
    "settled_trades",
    "orders",
    "ledger_events",
    "transfers",
    "balances",
    "account_settings",
    "candles",
    "trading_days",
    "definitions",
)
SEQUENCE_OF = {
    "settled_trades": "trade_id",
    "orders": "updated_sequence",
    "transfers": "event_sequence",
    "balances": "sequence",
    "account_settings": "sequence",
    "candles": "last_trade_id",
    "trading_days": "last_trade_id",
    "definitions": "event_sequence",
}
"""The column with the event that set a row; for a ledger event it is part of `entry`."""


def upsert(table: str, columns: str, key: str, set_columns: Sequence[str] = (), newer: str = "") -> str:
    """An upsert. If the key exists, it sets `set_columns` (default: all but the key).

    With `newer`, it does so only if that column's new value is not lower than the stored one.
    """
    names = columns.split(", ")
    keys = key.split(", ")
    changed = ", ".join(f"{name} = excluded.{name}" for name in set_columns or [n for n in names if n not in keys])
    guard = f" WHERE excluded.{newer} >= {table}.{newer}" if newer else ""
    values = ", ".join(["%s"] * len(names))
    return f"INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT ({key}) DO UPDATE SET {changed}{guard}"


class Bulk(NamedTuple):
    """An upsert of many rows, as SQL for each database."""

    row_by_row: str  # for `executemany`
    types: Sequence[str]  # PostgreSQL's types of the columns
    columns: Sequence[tuple[str, str]]  # names and these types
    copy: str  # for PostgreSQL: into the table, for rows that it does not have
    staging: str  # makes a temporary table of such rows
    copy_to_staging: str
    merge: str  # from it into the table; keys must be distinct
    is_final: bool  # whether rows never change, so that a batch is usually not in the table


POSTGRESQL_TYPES = {int: "bigint", str: "text", bool: "boolean", date: "date"}


def bulk(table: str, row: type[NamedTuple], key: str, set_columns: Sequence[str] = (), newer: str = "") -> Bulk:
    """As `upsert`, for rows whose columns are the fields of `row`."""
    names = ", ".join(row._fields)
    types = [POSTGRESQL_TYPES[(get_args(hint) or (hint,))[0]] for hint in get_type_hints(row).values()]
    columns = ", ".join(f"{name} {type_name}" for name, type_name in zip(row._fields, types, strict=True))
    row_by_row = upsert(table, names, key, set_columns, newer)
    return Bulk(
        row_by_row,
        types,
        columns=list(zip(row._fields, types, strict=True)),
        copy=f"COPY {table} ({names}) FROM STDIN (FORMAT BINARY)",
        staging=f"CREATE TEMPORARY TABLE IF NOT EXISTS staged_{table} ({columns}) ON COMMIT DELETE ROWS",
        copy_to_staging=f"COPY staged_{table} FROM STDIN (FORMAT BINARY)",
        merge=row_by_row.replace(_placeholders(row._fields), f"SELECT * FROM staged_{table}"),
        is_final=not newer,
    )


def _placeholders(names: Sequence[str]) -> str:
    return f"VALUES ({', '.join(['%s'] * len(names))})"


def by_keys(table: str, columns: str, key: str) -> str:
    """A select of the rows of many keys; the caller replaces KEYS by placeholders.

    The statement joins from the keys to the table, because SQLite does not use an index for `(a, b) IN (VALUES …)`.
    """
    names = key.split(", ")
    wanted = ", ".join(f"wanted_{name}" for name in names)
    equal = " AND ".join(f"{name} = wanted_{name}" for name in names)
    return f"WITH wanted({wanted}) AS (VALUES KEYS) SELECT {columns} FROM wanted CROSS JOIN {table} WHERE {equal}"


def whole_columns(table: str, columns: Sequence[tuple[str, str]], key: str, condition: str) -> dict[str, str]:
    """A select of one row: each of the columns (name, type in PostgreSQL) as a JSON array. By database.

    Rows are in the order of `key`. JSON tells the types of SQLite's values apart, and refuses those that are bytes.
    """
    names = ", ".join(name for name, _ in columns)
    rows = f"(SELECT {names} FROM {table} WHERE {condition} ORDER BY {key}) AS found"
    of_sqlite = ", ".join(f"json_group_array({name})" for name, _ in columns)
    of_postgresql = ", ".join(_JSON_ARRAY.format(_JSON_OF[type_name].format(name)) for name, type_name in columns)
    return {"sqlite": f"SELECT {of_sqlite} FROM {rows}", "postgresql": f"SELECT {of_postgresql} FROM {rows}"}


_JSON_ARRAY = "'[' || coalesce(string_agg(coalesce({}, 'null'), ','), '') || ']'"
_JSON_OF = {"bigint": "{}::text", "text": "to_json({})::text", "boolean": "({}::int)::text"}
"""PostgreSQL's own arrays have spaces, and booleans are 0 and 1 in SQLite."""


def symbols_of(table: str, key: str) -> str:
    """A select of the distinct symbols of a key's rows: one step in the index of (key, symbol) for each symbol."""
    smallest = f"SELECT min(symbol) FROM {table} WHERE {key} = %s"
    return (
        f"WITH RECURSIVE known(symbol) AS ({smallest} UNION ALL SELECT ({smallest} AND {table}.symbol > known.symbol) "
        "FROM known WHERE known.symbol IS NOT NULL) SELECT symbol FROM known WHERE symbol IS NOT NULL"
    )


PUT_BLOCK = upsert("engine_blocks", BLOCK, "number")
PUT_BLOCK_PART = upsert("engine_block_parts", ", ".join(Part._fields), "number, part")
PUT_TRADE = bulk("settled_trades", Trade, "trade_id")
PUT_ORDER = bulk(
    "orders",
    Order,
    "order_id",
    (
        *("client_order_id", "price", "quantity", "filled", "remaining", "status", "reason"),
        *("updated_at_ns", "updated_sequence", "triggered_at_ns"),
    ),
    newer="updated_sequence",
)
PUT_LEDGER_EVENT = bulk("ledger_events", Entry, "entry")
PUT_TRANSFER = bulk("transfers", Transfer, "event_sequence")
PUT_BALANCE = bulk("balances", Balance, "account, asset", newer="sequence")
PUT_ACCOUNT_SETTING = bulk("account_settings", AccountSetting, "account, kind, symbol", newer="sequence")
PUT_CANDLE = bulk("candles", Candle, "symbol, minute_ns", newer="last_trade_id")
PUT_TRADING_DAY = bulk("trading_days", TradingDay, "day", newer="last_trade_id")
PUT_DEFINITION = bulk("definitions", Definition, "event_sequence")
PUT_CHECKPOINT = upsert("settlement_checkpoints", f"stage, {CHECKPOINT}", "stage")
# Creates the row if it is missing, so that two transactions always have a row to lock.
LOCK_CHECKPOINT = (
    f"INSERT INTO settlement_checkpoints (stage, {CHECKPOINT}) VALUES (%s, 0, '{0:016x}', 0) "
    f"ON CONFLICT (stage) DO UPDATE SET epoch = settlement_checkpoints.epoch RETURNING {CHECKPOINT}"
)
ADVANCE_CHECKPOINT = (
    "UPDATE settlement_checkpoints SET block_number = %s, hash = %s, epoch = %s "
    "WHERE stage = %s AND block_number = %s AND hash = %s RETURNING block_number"
)
PUT_PROGRESS = upsert("projection_progress", "block_number, event_sequence", "block_number", newer="event_sequence")
DROP_PROGRESS = "DELETE FROM projection_progress WHERE block_number <> %s"
GET_PROGRESS = "SELECT event_sequence FROM projection_progress WHERE block_number = %s"
PUT_EPOCH = f"INSERT INTO engine_epochs ({EPOCH}) VALUES ({', '.join(['%s'] * len(Epoch._fields))})"
EPOCHS = f"SELECT {EPOCH} FROM engine_epochs ORDER BY number"
FENCES = "SELECT number, first_block FROM engine_epochs WHERE number > %s AND first_block <= %s ORDER BY number"
KEY_REGISTER = "SELECT serial, document FROM key_registers WHERE shard = %s"
ADD_KEY_REGISTER = (
    "INSERT INTO key_registers (serial, document, shard) VALUES (%s, %s, %s) ON CONFLICT (shard) DO NOTHING "
    "RETURNING serial"
)
REPLACE_KEY_REGISTER = (
    "UPDATE key_registers SET serial = %s, document = %s WHERE shard = %s AND serial = %s RETURNING serial"
)
PUT_SIGNED_CHECKPOINT = upsert("signed_checkpoints", f"{SIGNED_CHECKPOINT}, digest", "block_number, signer")
CHECKPOINTS_OF_DIGEST = (
    f"SELECT {SIGNED_CHECKPOINT} FROM signed_checkpoints WHERE digest = %s ORDER BY block_number DESC, signer DESC"
)
SIGNED_CHECKPOINTS = (
    f"SELECT {SIGNED_CHECKPOINT} FROM signed_checkpoints WHERE (block_number, signer) < (%s, %s) "
    "ORDER BY block_number DESC, signer DESC LIMIT %s"
)
DROP_SIGNED_CHECKPOINTS = "DELETE FROM signed_checkpoints WHERE block_number BETWEEN %s AND %s"
PUT_DEAD_LETTER = upsert("dead_letters", DEAD_LETTER, "block_number")

PUT_IDENTITY = "INSERT INTO store_identities (shard, identity) VALUES (%s, %s) ON CONFLICT (shard) DO NOTHING"
GET_IDENTITY = "SELECT identity FROM store_identities WHERE shard = %s"
GET_CHECKPOINT = f"SELECT {CHECKPOINT} FROM settlement_checkpoints WHERE stage = %s"
DROP_BLOCKS = "DELETE FROM engine_blocks WHERE number >= %s"
DROP_BLOCK_PARTS = "DELETE FROM engine_block_parts WHERE number >= %s"
GET_BLOCK = f"SELECT {BLOCK} FROM engine_blocks WHERE number = %s"
GET_BLOCK_HASH = "SELECT hash FROM engine_blocks WHERE number = %s"
# One part, and the number of parts.
GET_BLOCK_PART = "SELECT parts, data FROM engine_block_parts WHERE number = %s AND part = %s"
GET_BLOCKS = f"SELECT {BLOCK} FROM engine_blocks WHERE number BETWEEN %s AND %s ORDER BY number LIMIT %s"
# Blocks without events share their last_event_sequence with the block before, which has the lower number.
GET_BLOCK_OF_EVENT = (
    f"SELECT {BLOCK} FROM engine_blocks WHERE last_event_sequence >= %s ORDER BY last_event_sequence, number LIMIT 1"
)
BLOCKS_OF_HASH = f"SELECT {BLOCK_HEAD} FROM engine_blocks WHERE hash = %s ORDER BY number DESC"
NEWEST_BLOCKS = f"SELECT {BLOCK_HEAD} FROM engine_blocks WHERE number < %s ORDER BY number DESC LIMIT %s"

GET_TRADE = f"SELECT {TRADE} FROM settled_trades WHERE trade_id = %s"
TRADES_BY_RANGE = f"SELECT {TRADE} FROM settled_trades WHERE trade_id BETWEEN %s AND %s ORDER BY trade_id LIMIT %s"
SYMBOL_TRADES_BY_RANGE = (
    f"SELECT {TRADE} FROM settled_trades WHERE symbol = %s AND trade_id BETWEEN %s AND %s ORDER BY trade_id LIMIT %s"
)
NEWEST_TRADES = (
    f"SELECT {TRADE} FROM settled_trades WHERE trade_id > %s AND trade_id < %s ORDER BY trade_id DESC LIMIT %s"
)
SYMBOL_NEWEST_TRADES = (
    f"SELECT {TRADE} FROM settled_trades WHERE symbol = %s AND trade_id > %s AND trade_id < %s "
    "ORDER BY trade_id DESC LIMIT %s"
)
_OF_BUYER = f"SELECT {TRADE} FROM settled_trades WHERE buyer = %s AND symbol = %s"
_OF_SELLER = f"SELECT {TRADE} FROM settled_trades WHERE seller = %s AND symbol = %s"
NEWEST_OF_BUYER = f"{_OF_BUYER} AND trade_id < %s ORDER BY trade_id DESC LIMIT %s"
NEWEST_OF_SELLER = f"{_OF_SELLER} AND trade_id < %s ORDER BY trade_id DESC LIMIT %s"
RANGE_OF_BUYER = f"{_OF_BUYER} AND trade_id BETWEEN %s AND %s ORDER BY trade_id LIMIT %s"
RANGE_OF_SELLER = f"{_OF_SELLER} AND trade_id BETWEEN %s AND %s ORDER BY trade_id LIMIT %s"
SYMBOLS_OF_BUYER = symbols_of("settled_trades", "buyer")
SYMBOLS_OF_SELLER = symbols_of("settled_trades", "seller")
GET_TRADING_DAY = f"SELECT {TRADING_DAY} FROM trading_days WHERE day = %s"

GET_ORDERS = by_keys("orders", ORDER, "order_id")
ORDERS_BY_RANGE = f"SELECT {ORDER} FROM orders WHERE order_id BETWEEN %s AND %s ORDER BY order_id LIMIT %s"
NEWEST_ORDERS = f"SELECT {ORDER} FROM orders WHERE order_id < %s ORDER BY order_id DESC LIMIT %s"
SYMBOL_NEWEST_ORDERS = f"SELECT {ORDER} FROM orders WHERE symbol = %s AND order_id < %s ORDER BY order_id DESC LIMIT %s"
_OF_ACCOUNT = f"SELECT {ORDER} FROM orders WHERE account = %s AND symbol = %s"
NEWEST_OF_ACCOUNT = f"{_OF_ACCOUNT} AND order_id < %s ORDER BY order_id DESC LIMIT %s"
RANGE_OF_ACCOUNT = f"{_OF_ACCOUNT} AND order_id BETWEEN %s AND %s ORDER BY order_id LIMIT %s"
SYMBOLS_OF_ACCOUNT = symbols_of("orders", "account")
ORDERS_BY_CLIENT_ORDER_ID = (
    f"SELECT {ORDER} FROM orders WHERE account = %s AND client_order_id = %s ORDER BY order_id DESC LIMIT %s"
)
# Statuses are literals: a partial index is used only if the statement itself implies the index's condition.
OPEN_ORDERS = (
    f"SELECT {ORDER} FROM orders WHERE status IN ({', '.join(map(repr, OPEN_STATUSES))}) AND order_id > %s "
    "ORDER BY order_id LIMIT %s"
)

_IN_RANGE = "{} BETWEEN %s AND %s"
# One parameter for all ids, because databases limit the number of parameters.
_IDS = {
    "sqlite": "SELECT value FROM json_each(%s)",
    "postgresql": "SELECT id::bigint FROM json_array_elements_text(%s::json) AS ids(id)",
}


def _whole_orders(condition: str) -> dict[str, str]:
    return {
        vendor: whole_columns("orders", PUT_ORDER.columns, "order_id", condition.format(ids))[vendor]
        for vendor, ids in _IDS.items()
    }


WHOLE_TRADES = whole_columns("settled_trades", PUT_TRADE.columns, "trade_id", _IN_RANGE.format("trade_id"))
WHOLE_LEDGER_EVENTS = whole_columns("ledger_events", PUT_LEDGER_EVENT.columns, "entry", _IN_RANGE.format("entry"))
WHOLE_ORDERS = _whole_orders(f"{_IN_RANGE.format('order_id')} AND order_id NOT IN ({{}})")
WHOLE_ORDERS_OF_IDS = _whole_orders("order_id IN ({})")

LEDGER_EVENTS = (
    f"SELECT entry >> {LEG_BITS}, entry & {(1 << LEG_BITS) - 1}, {', '.join(Entry._fields[1:])} FROM ledger_events "
    "WHERE entry BETWEEN %s AND %s ORDER BY entry"
)
"""With the two numbers that `entry` consists of."""
LEDGER_EVENTS_BY_ASSET = (
    f"SELECT {LEDGER_EVENT} FROM ledger_events WHERE account = %s AND asset = %s AND entry < %s "
    "ORDER BY entry DESC LIMIT %s"
)
TRANSFERS_BY_REFERENCE = (
    f"SELECT {TRANSFER} FROM transfers WHERE account = %s AND reference = %s ORDER BY event_sequence DESC"
)
GET_TRANSFERS = by_keys("transfers", TRANSFER, "event_sequence")
TRANSFERS_BY_RANGE = f"SELECT {TRANSFER} FROM transfers WHERE event_sequence BETWEEN %s AND %s ORDER BY event_sequence"
GET_BALANCES = by_keys("balances", BALANCE, "account, asset")
BALANCES_OF = f"SELECT {BALANCE} FROM balances WHERE account = %s ORDER BY asset"
FIRST_BALANCES = f"SELECT {BALANCE} FROM balances ORDER BY account, asset LIMIT %s"
NEXT_BALANCES = f"SELECT {BALANCE} FROM balances WHERE (account, asset) > (%s, %s) ORDER BY account, asset LIMIT %s"
ACCOUNT_SETTINGS_OF = f"SELECT {ACCOUNT_SETTING} FROM account_settings WHERE account = %s ORDER BY kind, symbol"
FIRST_ACCOUNT_SETTINGS = f"SELECT {ACCOUNT_SETTING} FROM account_settings ORDER BY account, kind, symbol LIMIT %s"
NEXT_ACCOUNT_SETTINGS = (
    f"SELECT {ACCOUNT_SETTING} FROM account_settings WHERE (account, kind, symbol) > (%s, %s, %s) "
    "ORDER BY account, kind, symbol LIMIT %s"
)
GET_CANDLES = by_keys("candles", CANDLE, "symbol, minute_ns")
NEWEST_CANDLES = f"SELECT {CANDLE} FROM candles WHERE symbol = %s ORDER BY minute_ns DESC LIMIT %s"
COUNT_CANDLES = "SELECT count(*) FROM candles"
COUNT_TRADING_DAYS = "SELECT count(*) FROM trading_days"
DEFINITIONS = f"SELECT {DEFINITION} FROM definitions ORDER BY event_sequence"

DEAD_LETTERS = f"SELECT {DEAD_LETTER_HEAD} FROM dead_letters ORDER BY block_number"
UNRESOLVED_DEAD_LETTERS = (
    f"SELECT {DEAD_LETTER_HEAD} FROM dead_letters WHERE resolved_at_ns IS NULL ORDER BY block_number"
)
_NEWEST = "block_number < %s ORDER BY block_number DESC LIMIT %s"
NEWEST_DEAD_LETTERS = f"SELECT {DEAD_LETTER_HEAD} FROM dead_letters WHERE {_NEWEST}"
NEWEST_UNRESOLVED_DEAD_LETTERS = (
    f"SELECT {DEAD_LETTER_HEAD} FROM dead_letters WHERE resolved_at_ns IS NULL AND {_NEWEST}"
)
GET_DEAD_LETTER = f"SELECT {DEAD_LETTER} FROM dead_letters WHERE block_number = %s"
