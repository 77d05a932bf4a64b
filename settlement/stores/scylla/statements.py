"""The ScyllaDB store's statements.

Columns of inserts are in the order in which `write.rows` serializes them, columns of selects in the order of the
contract's tuples. Every select gives the partition key; none filters or counts.
"""

from collections.abc import Sequence

from settlement.stores.base import AccountSetting, Balance, Candle, Definition, Order, StoredBlock, Trade, Transfer

BLOCK = ", ".join(StoredBlock._fields)
BLOCK_HEAD = ", ".join(StoredBlock._fields[:-1])
TRADE = ", ".join(Trade._fields)
ORDER = ", ".join(Order._fields)
LEDGER_EVENT = (
    "event_sequence, leg, block_number, timestamp_ns, account, asset, kind, delta_available, delta_locked, "
    "available_after, locked_after"
)
TRANSFER = ", ".join(Transfer._fields)
BALANCE = ", ".join(Balance._fields)
ACCOUNT_SETTING = ", ".join(AccountSetting._fields)
CANDLE = ", ".join(Candle._fields)
DEFINITION = ", ".join(Definition._fields)


def insert(table: str, columns: str) -> str:
    """An insert; the write time is the last parameter."""
    marks = ", ".join(["?"] * len(columns.split(", ")))
    return f"INSERT INTO {table} ({columns}) VALUES ({marks}) USING TIMESTAMP ?"


def width(statement: str) -> int:
    """The number of parameters of a statement."""
    return statement.count("?")


_ACCOUNT_PART = "shard, account, month, part"

PUT_BLOCK = insert(
    "engine_blocks",
    "shard, bucket, number, epoch, timestamp_ns, first_command_sequence, last_command_sequence, first_event_sequence, "
    "last_event_sequence, trade_count, hash, prev_hash, data",
)
PUT_BLOCK_PART = insert("engine_block_parts", "shard, number, hash, part, parts, data")
PUT_BLOCK_HASH = insert("blocks_by_hash", "shard, hash, number")
PUT_TRADE = insert(
    "settled_trades",
    "shard, trade_date, bucket, trade_id, block_number, timestamp_ns, price, quantity, maker_order_id, taker_order_id, "
    "buyer, seller, buyer_fee, seller_fee, symbol, taker_side, trade_number",
)
PUT_ORDER = insert(
    "orders",
    "shard, bucket, order_id, account, filled, remaining, placed_at_ns, updated_at_ns, updated_sequence, price, "
    "quantity, quote_quantity, symbol, side, order_type, time_in_force, post_only, self_trade_prevention, "
    "client_order_id, status, reason, trigger_price, visible_quantity, order_list_id, triggered_at_ns",
)
PUT_OPEN_ORDER = insert("open_orders", "shard, bucket, order_id")
DROP_OPEN_ORDER = "DELETE FROM open_orders USING TIMESTAMP ? WHERE shard = ? AND bucket = ? AND order_id = ?"
PUT_ACCOUNT_TRADE = insert("trades_by_account", f"{_ACCOUNT_PART}, trade_id")
PUT_ACCOUNT_ORDER = insert("orders_by_account", f"{_ACCOUNT_PART}, order_id")
PUT_CLIENT_ORDER = insert("orders_by_client_order_id", f"{_ACCOUNT_PART}, client_order_id, order_id")
PUT_LEDGER_EVENT = insert(
    "ledger_events",
    f"{_ACCOUNT_PART}, event_sequence, leg, block_number, timestamp_ns, delta_available, delta_locked, "
    "available_after, locked_after, asset, kind",
)
PUT_TRANSFER = insert(
    "transfers", "shard, bucket, event_sequence, block_number, timestamp_ns, account, amount, asset, kind, reference"
)
PUT_REFERENCE = insert("transfers_by_reference", "shard, account, reference, event_sequence")
PUT_BALANCE = insert("balances", "shard, bucket, account, available, locked, sequence, asset")
PUT_ACCOUNT_SETTING = insert(
    "account_settings", "shard, bucket, account, kind, symbol, status, maker_fee, taker_fee, sequence"
)
PUT_CANDLE = insert(
    "candles",
    "shard, symbol, month, minute_ns, open, high, low, close, volume, trade_count, last_trade_id, quote_volume, "
    "taker_buy_volume, taker_buy_quote_volume",
)
PUT_TRADING_DAY = insert("trading_days", "shard, day, first_trade_id, last_trade_id")
PUT_DEFINITION = insert("definitions", "shard, event_sequence, kind, text")
PUT_UNDO = insert("projection_undo", "shard, slot, chunk, written_us, chunks, generation, after_block, to_block, data")
PUT_PROGRESS = insert("projection_progress", "shard, generation, block_number, event_sequence")
PUT_CHECKPOINT = insert("settlement_checkpoints", "shard, stage, block_number, hash, epoch, generation")

PUT_CHILD = insert("bucket_trees", "shard, tree, level, prefix, child")
PUT_TRADE_DATE = insert("trade_dates", "shard, bucket, trade_date")
PUT_ACCOUNT_PART = insert("account_parts", "shard, account, kind, asset, month, part")
PUT_CANDLE_MONTH = insert("candle_months", "shard, symbol, month")
PUT_LEDGER_ACCOUNT = insert("ledger_accounts", "shard, bucket, account, asset, month")

WRITES = (
    PUT_TRADE,
    PUT_ORDER,
    PUT_OPEN_ORDER,
    DROP_OPEN_ORDER,
    PUT_ACCOUNT_TRADE,
    PUT_ACCOUNT_ORDER,
    PUT_CLIENT_ORDER,
    PUT_LEDGER_EVENT,
    PUT_TRANSFER,
    PUT_REFERENCE,
    PUT_BALANCE,
    PUT_ACCOUNT_SETTING,
    PUT_CANDLE,
    PUT_TRADING_DAY,
    PUT_DEFINITION,
    PUT_CHILD,
    PUT_TRADE_DATE,
    PUT_ACCOUNT_PART,
    PUT_CANDLE_MONTH,
    PUT_LEDGER_ACCOUNT,
)
"""All statements that write projected rows or index entries."""


def table(write: str) -> str:
    """The table that a statement writes to."""
    words = write.split()
    return words[2]


# Checkpoints and blocks

_CHECKPOINT = "block_number, hash, epoch, generation"
GET_CHECKPOINT = f"SELECT {_CHECKPOINT} FROM settlement_checkpoints WHERE shard = ? AND stage = ?"
GET_PROGRESS = "SELECT generation, block_number, event_sequence FROM projection_progress WHERE shard = ?"
_OF_BLOCKS = "FROM engine_blocks WHERE shard = ? AND bucket = ?"
GET_BLOCK = f"SELECT {BLOCK} {_OF_BLOCKS} AND number = ?"
GET_BLOCK_HEAD = f"SELECT {BLOCK_HEAD} {_OF_BLOCKS} AND number = ?"
GET_BLOCK_END = f"SELECT last_event_sequence, last_command_sequence {_OF_BLOCKS} AND number = ?"
GET_BLOCK_PART = "SELECT parts, data FROM engine_block_parts WHERE shard = ? AND number = ? AND hash = ? AND part = ?"
BLOCKS_IN_BUCKET = f"SELECT {BLOCK} {_OF_BLOCKS} AND number >= ? AND number <= ? LIMIT ?"
BLOCK_NUMBERS_OF_HASH = "SELECT number FROM blocks_by_hash WHERE shard = ? AND hash = ?"
BLOCK_HASHES_IN_BUCKET = f"SELECT number, hash {_OF_BLOCKS}"
NEWEST_BLOCKS = f"SELECT {BLOCK_HEAD} {_OF_BLOCKS} AND number < ? ORDER BY number DESC LIMIT ?"

# Indexes

_OF_TREE = "FROM bucket_trees WHERE shard = ? AND tree = ? AND level = ? AND prefix = ?"
CHILDREN = f"SELECT child {_OF_TREE} AND child >= ? AND child <= ?"
CHILDREN_DESCENDING = f"{CHILDREN} ORDER BY child DESC"
DROP_CHILD = (
    "DELETE FROM bucket_trees USING TIMESTAMP ? WHERE shard = ? AND tree = ? AND level = ? AND prefix = ? AND child = ?"
)
TRADE_DATES = "SELECT trade_date FROM trade_dates WHERE shard = ? AND bucket = ?"
OLDEST_ACCOUNT_PARTS = (
    "SELECT month, part FROM account_parts WHERE shard = ? AND account = ? AND kind = ? AND asset = ?"
)
ACCOUNT_PARTS = f"{OLDEST_ACCOUNT_PARTS} ORDER BY kind DESC, asset DESC, month DESC, part DESC"
ALL_ACCOUNT_PARTS = "SELECT kind, asset, month, part FROM account_parts WHERE shard = ? AND account = ?"
CANDLE_MONTHS = "SELECT month FROM candle_months WHERE shard = ? AND symbol = ? ORDER BY symbol DESC, month DESC"
ALL_CANDLE_MONTHS = "SELECT symbol, month FROM candle_months WHERE shard = ?"
LEDGER_ACCOUNTS = "SELECT account, month, asset FROM ledger_accounts WHERE shard = ? AND bucket = ?"

# Trades

_OF_TRADES = "FROM settled_trades WHERE shard = ? AND trade_date = ? AND bucket = ?"
GET_TRADES = f"SELECT {TRADE} {_OF_TRADES} AND trade_id IN ?"
TRADES_IN_BUCKET = f"SELECT {TRADE} {_OF_TRADES} AND trade_id >= ? AND trade_id <= ? LIMIT ?"
TRADES_IN_BUCKET_DESCENDING = (
    f"SELECT {TRADE} {_OF_TRADES} AND trade_id >= ? AND trade_id <= ? ORDER BY trade_id DESC LIMIT ?"
)
TRADE_SYMBOLS = f"SELECT trade_id, symbol {_OF_TRADES} AND trade_id >= ? AND trade_id <= ?"
_OF_ACCOUNT_PART = "shard = ? AND account = ? AND month = ? AND part = ?"
_ACCOUNT_TRADES = f"SELECT trade_id FROM trades_by_account WHERE {_OF_ACCOUNT_PART} AND trade_id >= ? AND trade_id <= ?"
NEWEST_ACCOUNT_TRADES = f"{_ACCOUNT_TRADES} LIMIT ?"
OLDEST_ACCOUNT_TRADES = f"{_ACCOUNT_TRADES} ORDER BY trade_id ASC LIMIT ?"
GET_TRADING_DAY = "SELECT first_trade_id, last_trade_id FROM trading_days WHERE shard = ? AND day = ?"
TRADING_DAYS = "SELECT day, first_trade_id, last_trade_id FROM trading_days WHERE shard = ?"

# Orders

_OF_ORDERS = "FROM orders WHERE shard = ? AND bucket = ?"
GET_ORDERS = f"SELECT {ORDER} {_OF_ORDERS} AND order_id IN ?"
_BETWEEN_ORDERS = "order_id >= ? AND order_id <= ?"
ORDERS_IN_BUCKET = f"SELECT {ORDER} {_OF_ORDERS} AND {_BETWEEN_ORDERS} LIMIT ?"
ORDERS_IN_BUCKET_DESCENDING = f"SELECT {ORDER} {_OF_ORDERS} AND {_BETWEEN_ORDERS} ORDER BY order_id DESC LIMIT ?"
ORDER_SYMBOLS = f"SELECT order_id, symbol {_OF_ORDERS} AND {_BETWEEN_ORDERS}"
ORDER_SEQUENCES = f"SELECT order_id, updated_sequence {_OF_ORDERS}"
_ACCOUNT_ORDERS = f"SELECT order_id FROM orders_by_account WHERE {_OF_ACCOUNT_PART} AND {_BETWEEN_ORDERS}"
NEWEST_ACCOUNT_ORDERS = f"{_ACCOUNT_ORDERS} LIMIT ?"
OLDEST_ACCOUNT_ORDERS = f"{_ACCOUNT_ORDERS} ORDER BY order_id ASC LIMIT ?"
ORDERS_OF_CLIENT_ORDER_ID = (
    f"SELECT order_id FROM orders_by_client_order_id WHERE {_OF_ACCOUNT_PART} AND client_order_id = ? LIMIT ?"
)
_OF_OPEN = "SELECT order_id FROM open_orders WHERE shard = ? AND bucket = ?"
OPEN_IN_BUCKET = f"{_OF_OPEN} AND order_id > ? LIMIT ?"
ANY_OPEN_IN_BUCKET = f"{_OF_OPEN} LIMIT 1"

# Ledger, balances, candles, definitions

_OF_TRANSFERS = f"SELECT {TRANSFER} FROM transfers WHERE shard = ? AND bucket = ?"
GET_TRANSFERS = f"{_OF_TRANSFERS} AND event_sequence IN ?"
TRANSFERS_BETWEEN = f"{_OF_TRANSFERS} AND event_sequence >= ? AND event_sequence <= ?"
EVENTS_OF_REFERENCE = (
    "SELECT event_sequence FROM transfers_by_reference WHERE shard = ? AND account = ? AND reference = ?"
)
_OF_LEDGER = f"FROM ledger_events WHERE {_OF_ACCOUNT_PART}"
LEDGER_BETWEEN = f"SELECT {LEDGER_EVENT} {_OF_LEDGER} AND asset = ? AND event_sequence >= ? AND event_sequence <= ?"
LEDGER_BEFORE = f"SELECT {LEDGER_EVENT} {_OF_LEDGER} AND asset = ? AND (event_sequence, leg) < (?, ?) LIMIT ?"
_OF_BALANCES = f"SELECT {BALANCE} FROM balances WHERE shard = ? AND bucket = ?"
BALANCES_OF = f"{_OF_BALANCES} AND account = ?"
BALANCES_AFTER = f"{_OF_BALANCES} AND (account, asset) > (?, ?) LIMIT ?"
ACCOUNT_SETTINGS = f"SELECT {ACCOUNT_SETTING} FROM account_settings WHERE shard = ? AND bucket = ?"
ACCOUNT_SETTINGS_OF = f"{ACCOUNT_SETTINGS} AND account = ?"
CANDLES = f"SELECT {CANDLE} FROM candles WHERE shard = ? AND symbol = ? AND month = ?"
GET_CANDLES = f"{CANDLES} AND minute_ns IN ?"
NEWEST_CANDLES = f"{CANDLES} LIMIT ?"
DEFINITIONS = f"SELECT {DEFINITION} FROM definitions WHERE shard = ?"
UNDO_HEAD = (
    "SELECT written_us, chunks, generation, after_block, to_block FROM projection_undo "
    "WHERE shard = ? AND slot = ? AND chunk = 0"
)
UNDO = "SELECT written_us, data FROM projection_undo WHERE shard = ? AND slot = ?"

# Deletes of whole partitions, or of the rows that an event or a later one set


def drop(table: str, keys: Sequence[str], condition: str = "") -> str:
    """A delete; its parameters are the write time, the keys and the value of the condition."""
    where = " AND ".join([*(f"{key} = ?" for key in keys), *([condition] if condition else [])])
    return f"DELETE FROM {table} USING TIMESTAMP ? WHERE {where}"


DROP_TRADES = drop("settled_trades", ("shard", "trade_date", "bucket"), "trade_id >= ?")
DROP_DAY = drop("trading_days", ("shard", "day"))
DROP_ACCOUNT_TRADES = drop("trades_by_account", ("shard", "account", "month", "part"), "trade_id >= ?")
DROP_ACCOUNT_ORDERS = drop("orders_by_account", ("shard", "account", "month", "part"), "order_id >= ?")
DROP_TRANSFERS = drop("transfers", ("shard", "bucket"), "event_sequence >= ?")
DROP_LEDGER = drop("ledger_events", ("shard", "account", "month", "part", "asset"), "event_sequence >= ?")
DROP_BALANCES = drop("balances", ("shard", "bucket"))
DROP_ACCOUNT_SETTINGS = drop("account_settings", ("shard", "bucket"))
DROP_ORDER = drop("orders", ("shard", "bucket", "order_id"))
DROP_OPEN_ORDERS = drop("open_orders", ("shard", "bucket"))
DROP_CANDLES = drop("candles", ("shard", "symbol", "month"), "minute_ns >= ?")
DROP_DEFINITIONS = drop("definitions", ("shard",), "event_sequence >= ?")

PUT_IDENTITY = "INSERT INTO store_identities (shard, identity) VALUES (?, ?) IF NOT EXISTS"
GET_IDENTITY = "SELECT identity FROM store_identities WHERE shard = ?"

# The key register: lightweight transactions

KEY_REGISTER = "SELECT serial, document FROM key_registers WHERE shard = ?"
ADD_KEY_REGISTER = "INSERT INTO key_registers (serial, document, shard) VALUES (?, ?, ?) IF NOT EXISTS"
REPLACE_KEY_REGISTER = "UPDATE key_registers SET serial = ?, document = ? WHERE shard = ? IF serial = ?"

# The lock of the store: lightweight transactions

TAKE_LEASE = "INSERT INTO settlement_leases (shard, owner) VALUES (?, ?) IF NOT EXISTS USING TTL ?"
REPLACE_LEASE = "UPDATE settlement_leases USING TTL ? SET owner = ? WHERE shard = ? IF owner = ?"
END_LEASE = "DELETE FROM settlement_leases WHERE shard = ? IF owner = ?"
GET_LEASE = "SELECT owner FROM settlement_leases WHERE shard = ?"

# Signed checkpoints: a row is never changed, so the driver's write times are good enough

PUT_SIGNED_CHECKPOINT = (
    "INSERT INTO signed_checkpoints (shard, bucket, block_number, signer, document) VALUES (?, ?, ?, ?, ?)"
)
SIGNED_CHECKPOINTS = (
    "SELECT block_number, signer, document FROM signed_checkpoints WHERE shard = ? AND bucket = ? AND block_number <= ?"
)
CHECKPOINTS_OF_BLOCK = (
    "SELECT block_number, signer, document FROM signed_checkpoints WHERE shard = ? AND bucket = ? AND block_number = ?"
)
PUT_CHECKPOINT_DIGEST = "INSERT INTO checkpoints_by_digest (shard, digest, block_number) VALUES (?, ?, ?)"
BLOCK_NUMBERS_OF_DIGEST = "SELECT block_number FROM checkpoints_by_digest WHERE shard = ? AND digest = ?"
DROP_SIGNED_CHECKPOINTS = (
    "DELETE FROM signed_checkpoints WHERE shard = ? AND bucket = ? AND block_number >= ? AND block_number <= ?"
)

# Epochs: lightweight transactions, all in one partition

_EPOCH = "number, first_block, prev_hash, engine, commands, blocks, retransmission, began_at_ns"
EPOCHS = f"SELECT {_EPOCH}, state, newest FROM engine_epochs WHERE shard = ?"
EPOCHS_AFTER = f"SELECT {_EPOCH}, state, newest FROM engine_epochs WHERE shard = ? AND number > ?"
PROPOSE = (
    f"INSERT INTO engine_epochs (shard, {_EPOCH}, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'proposed') IF NOT EXISTS"
)
_SET_EPOCH = "first_block = ?, prev_hash = ?, engine = ?, commands = ?, blocks = ?, retransmission = ?, began_at_ns = ?"
_IS_EPOCH = _SET_EPOCH.replace(",", " AND")
_OF_EPOCH = "WHERE shard = ? AND number = ?"
PROPOSE_AGAIN = f"UPDATE engine_epochs SET {_SET_EPOCH}, state = 'proposed' {_OF_EPOCH} IF state = ? AND {_IS_EPOCH}"
VOID = f"UPDATE engine_epochs SET state = 'void' {_OF_EPOCH} IF state = 'proposed' AND {_IS_EPOCH}"
BEGIN = (
    f"UPDATE engine_epochs SET state = 'begun', newest = ? {_OF_EPOCH} "
    f"IF newest = ? AND state = 'proposed' AND {_IS_EPOCH}"
)
