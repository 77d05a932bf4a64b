"""Declares the tables of the ScyllaDB store; `schema` makes CQL from these models.

Every partition key begins with the shard, and every partition is bounded: a bucket is a range of sequences, and an
account has one partition for each month and each part of the sequence. Integers are in the engine's units
(matching/core/layout.py), hashes are 16 hex digits, as in the SQL store. Writes set their own timestamps (`keys`), so
a row that is deleted by hand, with a timestamp of today, stays deleted whatever is written later.
"""

from typing import Any

from cassandra.cqlengine import columns
from django_cassandra_engine.models import DjangoCassandraModel

APP = "settlement_scylla"
"""Not an installed app, so that Django's migrations ignore these models."""


def _key(column: type[columns.Column], **more: Any) -> columns.Column:
    return column(partition_key=True, primary_key=True, **more)


def _cluster(column: type[columns.Column], order: str = "ASC") -> columns.Column:
    return column(primary_key=True, clustering_order=order)


class Table(DjangoCassandraModel):  # type: ignore[misc] # ships no types
    __abstract__ = True

    class Meta:
        app_label = APP
        get_pk_field = "shard"  # the package requires one column to be named for a composite key
        abstract = True


class EngineBlock(Table):
    """Blocks, from which all projected tables can be rebuilt. Buckets of 64 blocks."""

    __table_name__ = "engine_blocks"
    shard = _key(columns.Integer)
    bucket = _key(columns.BigInt)
    number = _cluster(columns.BigInt)
    hash = columns.Text()
    prev_hash = columns.Text()
    epoch = columns.BigInt()
    timestamp_ns = columns.BigInt()
    first_command_sequence = columns.BigInt()
    last_command_sequence = columns.BigInt()
    first_event_sequence = columns.BigInt()
    last_event_sequence = columns.BigInt()
    trade_count = columns.BigInt()
    data = columns.Blob()


class BlockByHash(Table):
    """Which block has a hash. Rows of blocks that were replaced stay; that in `engine_blocks` is the truth."""

    __table_name__ = "blocks_by_hash"
    shard = _key(columns.Integer)
    hash = _key(columns.Text)
    number = _cluster(columns.BigInt, "DESC")


class EngineBlockPart(Table):
    """The bytes of a large block that do not fit into its own row (`settlement.stores.block_parts`).

    Each part is a partition of its own. The hash is in the key, so that parts of two copies of a block do not mix.
    """

    __table_name__ = "engine_block_parts"
    shard = _key(columns.Integer)
    number = _key(columns.BigInt)
    hash = _key(columns.Text)
    part = _key(columns.Integer)  # 1, 2, …
    parts = columns.Integer()  # the number of the block's last part
    data = columns.Blob()


class EngineEpoch(Table):
    """Which engine leads from which block on. Written by lightweight transactions only."""

    __table_name__ = "engine_epochs"
    shard = _key(columns.Integer)
    number = _cluster(columns.BigInt)
    newest = columns.BigInt(static=True)  # the newest epoch that has begun
    state = columns.Text()  # proposed, begun or void
    first_block = columns.BigInt()
    prev_hash = columns.Text()
    engine = columns.Text()
    commands = columns.Text()
    blocks = columns.Text()
    retransmission = columns.Text()
    began_at_ns = columns.BigInt()


class StoreIdentity(Table):
    """The random identity of the store, 32 hex digits; made once, by a lightweight transaction."""

    __table_name__ = "store_identities"
    shard = _key(columns.Integer)
    identity = columns.Text()


class KeyRegister(Table):
    """The signed register of keys (`matching.transport.key_register`). Written by lightweight transactions only."""

    __table_name__ = "key_registers"
    shard = _key(columns.Integer)
    serial = columns.BigInt()
    document = columns.Text()  # JSON


class SignedCheckpoint(Table):
    """Signed checkpoints (`matching.transport.signed_checkpoints`). Buckets of 1,000,000 blocks."""

    __table_name__ = "signed_checkpoints"
    shard = _key(columns.Integer)
    bucket = _key(columns.BigInt)
    block_number = _cluster(columns.BigInt, "DESC")
    signer = _cluster(columns.Text)
    document = columns.Text()  # JSON


class CheckpointByDigest(Table):
    """Which block's signed checkpoint states a chain digest. Rows of dropped checkpoints stay.

    The row without a digest tells that the checkpoints of an earlier version have theirs.
    """

    __table_name__ = "checkpoints_by_digest"
    shard = _key(columns.Integer)
    digest = _key(columns.Text)
    block_number = _cluster(columns.BigInt, "DESC")


class SettlementLease(Table):
    """Which settlement process writes; the row ends by its time to live. Written by lightweight transactions only."""

    __table_name__ = "settlement_leases"
    shard = _key(columns.Integer)
    owner = columns.Text()


class SettlementCheckpoint(Table):
    """Stages `appended`, `projected` and `transfers`."""

    __table_name__ = "settlement_checkpoints"
    shard = _key(columns.Integer)
    stage = _cluster(columns.Text)
    block_number = columns.BigInt()
    hash = columns.Text()
    epoch = columns.BigInt()
    generation = columns.BigInt()  # of the projections; increases when they are dropped or reset


class SettledTrade(Table):
    """Buckets of 10,000 sequences."""

    __table_name__ = "settled_trades"
    shard = _key(columns.Integer)
    trade_date = _key(columns.Date)
    bucket = _key(columns.BigInt)
    trade_id = _cluster(columns.BigInt)
    block_number = columns.BigInt()
    timestamp_ns = columns.BigInt()
    symbol = columns.Text()
    price = columns.BigInt()
    quantity = columns.BigInt()
    taker_side = columns.Text()
    maker_order_id = columns.BigInt()
    taker_order_id = columns.BigInt()
    buyer = columns.BigInt()
    seller = columns.BigInt()
    buyer_fee = columns.BigInt()
    seller_fee = columns.BigInt()
    trade_number = columns.BigInt()


class TradingDay(Table):
    __table_name__ = "trading_days"
    shard = _key(columns.Integer)
    day = _cluster(columns.Date)
    first_trade_id = columns.BigInt()
    last_trade_id = columns.BigInt()


class Order(Table):
    """The latest state of each order. Buckets of 10,000 sequences."""

    __table_name__ = "orders"
    shard = _key(columns.Integer)
    bucket = _key(columns.BigInt)
    order_id = _cluster(columns.BigInt)
    account = columns.BigInt()
    symbol = columns.Text()
    side = columns.Text()
    order_type = columns.Text()
    time_in_force = columns.Text()
    post_only = columns.Boolean()
    self_trade_prevention = columns.Text()
    client_order_id = columns.Text()
    price = columns.BigInt()
    quantity = columns.BigInt()
    quote_quantity = columns.BigInt()
    filled = columns.BigInt()
    remaining = columns.BigInt()
    status = columns.Text()
    reason = columns.Text()
    placed_at_ns = columns.BigInt()
    updated_at_ns = columns.BigInt()
    updated_sequence = columns.BigInt()
    trigger_price = columns.BigInt()
    visible_quantity = columns.BigInt()
    order_list_id = columns.BigInt()
    triggered_at_ns = columns.BigInt()


class OpenOrder(Table):
    """Orders that may be open or waiting; the row in `orders` has the status."""

    __table_name__ = "open_orders"
    shard = _key(columns.Integer)
    bucket = _key(columns.BigInt)
    order_id = _cluster(columns.BigInt)


class TradeByAccount(Table):
    """Has the partition key of `orders_by_account` and `ledger_events`, so one batch can hold rows of all three."""

    __table_name__ = "trades_by_account"
    shard = _key(columns.Integer)
    account = _key(columns.BigInt)
    month = _key(columns.Integer)  # yyyymm, UTC
    part = _key(columns.BigInt)  # sequence // 1,000,000
    trade_id = _cluster(columns.BigInt, "DESC")


class OrderByAccount(Table):
    __table_name__ = "orders_by_account"
    shard = _key(columns.Integer)
    account = _key(columns.BigInt)
    month = _key(columns.Integer)
    part = _key(columns.BigInt)
    order_id = _cluster(columns.BigInt, "DESC")


class OrderByClientOrderId(Table):
    """Has the partition key of `orders_by_account`. A reset keeps its rows; that in `orders` is the truth."""

    __table_name__ = "orders_by_client_order_id"
    shard = _key(columns.Integer)
    account = _key(columns.BigInt)
    month = _key(columns.Integer)
    part = _key(columns.BigInt)
    client_order_id = _cluster(columns.Text)
    order_id = _cluster(columns.BigInt, "DESC")


class LedgerEvent(Table):
    """The asset is the first clustering column, so that a rare asset is found without reading the others."""

    __table_name__ = "ledger_events"
    shard = _key(columns.Integer)
    account = _key(columns.BigInt)
    month = _key(columns.Integer)
    part = _key(columns.BigInt)
    asset = _cluster(columns.Text)
    event_sequence = _cluster(columns.BigInt, "DESC")
    leg = _cluster(columns.Integer, "DESC")
    block_number = columns.BigInt()
    timestamp_ns = columns.BigInt()
    kind = columns.Text()
    delta_available = columns.BigInt()
    delta_locked = columns.BigInt()
    available_after = columns.BigInt()
    locked_after = columns.BigInt()


class Transfer(Table):
    """In the buckets of the ledger's index."""

    __table_name__ = "transfers"
    shard = _key(columns.Integer)
    bucket = _key(columns.BigInt)
    event_sequence = _cluster(columns.BigInt)
    block_number = columns.BigInt()
    timestamp_ns = columns.BigInt()
    account = columns.BigInt()
    asset = columns.Text()
    kind = columns.Text()
    amount = columns.BigInt()
    reference = columns.Text()


class TransferByReference(Table):
    """A reset keeps its rows; that in `transfers` is the truth."""

    __table_name__ = "transfers_by_reference"
    shard = _key(columns.Integer)
    account = _key(columns.BigInt)
    reference = _key(columns.Text)
    event_sequence = _cluster(columns.BigInt, "DESC")


class Balance(Table):
    """Buckets of 256 accounts."""

    __table_name__ = "balances"
    shard = _key(columns.Integer)
    bucket = _key(columns.BigInt)
    account = _cluster(columns.BigInt)
    asset = _cluster(columns.Text)
    available = columns.BigInt()
    locked = columns.BigInt()
    sequence = columns.BigInt()


class AccountSetting(Table):
    """Status and own fees of accounts. Has the partition key of `balances`."""

    __table_name__ = "account_settings"
    shard = _key(columns.Integer)
    bucket = _key(columns.BigInt)
    account = _cluster(columns.BigInt)
    kind = _cluster(columns.Text)
    symbol = _cluster(columns.Text)
    status = columns.Text()
    maker_fee = columns.BigInt()
    taker_fee = columns.BigInt()
    sequence = columns.BigInt()


class Candle(Table):
    __table_name__ = "candles"
    shard = _key(columns.Integer)
    symbol = _key(columns.Text)
    month = _key(columns.Integer)
    minute_ns = _cluster(columns.BigInt, "DESC")
    open = columns.BigInt()
    high = columns.BigInt()
    low = columns.BigInt()
    close = columns.BigInt()
    volume = columns.BigInt()
    trade_count = columns.BigInt()
    last_trade_id = columns.BigInt()
    quote_volume = columns.BigInt()
    taker_buy_volume = columns.BigInt()
    taker_buy_quote_volume = columns.BigInt()


class Definition(Table):
    __table_name__ = "definitions"
    shard = _key(columns.Integer)
    event_sequence = _cluster(columns.BigInt)
    kind = columns.Integer()
    text = columns.Text()


class ProjectionUndo(Table):
    """Undo records: rows as they were before the batch that is being written. Two slots are used alternately."""

    __table_name__ = "projection_undo"
    shard = _key(columns.Integer)
    slot = _key(columns.Integer)
    chunk = _cluster(columns.Integer)
    written_us = columns.BigInt()  # the same in all chunks of one record
    chunks = columns.Integer()
    generation = columns.BigInt()
    after_block = columns.BigInt()
    to_block = columns.BigInt()
    data = columns.Blob()


class ProjectionProgress(Table):
    """The event up to which the block after the `projected` checkpoint is projected, if it is projected in slices."""

    __table_name__ = "projection_progress"
    shard = _key(columns.Integer)
    generation = columns.BigInt()
    block_number = columns.BigInt()
    event_sequence = columns.BigInt()


class BucketTree(Table):
    """Which buckets contain rows: a tree with 65,536 children per node; level 0 has the leaves."""

    __table_name__ = "bucket_trees"
    shard = _key(columns.Integer)
    tree = _key(columns.Text)
    level = _key(columns.Integer)
    prefix = _key(columns.BigInt)
    child = _cluster(columns.BigInt)


class TradeDate(Table):
    """The dates of the trades in a bucket, usually one."""

    __table_name__ = "trade_dates"
    shard = _key(columns.Integer)
    bucket = _key(columns.BigInt)
    trade_date = _cluster(columns.Date)


class AccountPart(Table):
    """The partitions with rows of an account. `kind` is `trades`, `orders` or `ledger`, the latter with an asset."""

    __table_name__ = "account_parts"
    shard = _key(columns.Integer)
    account = _key(columns.BigInt)
    kind = _cluster(columns.Text)
    asset = _cluster(columns.Text)
    month = _cluster(columns.Integer)
    part = _cluster(columns.BigInt)


class CandleMonth(Table):
    __table_name__ = "candle_months"
    shard = _key(columns.Integer)
    symbol = _cluster(columns.Text)
    month = _cluster(columns.Integer)


class LedgerAccount(Table):
    """The accounts with ledger entries in a bucket of 10,000 sequences."""

    __table_name__ = "ledger_accounts"
    shard = _key(columns.Integer)
    bucket = _key(columns.BigInt)
    account = _cluster(columns.BigInt)
    asset = _cluster(columns.Text)
    month = _cluster(columns.Integer)


MODELS: tuple[type[Table], ...] = (
    EngineBlock,
    BlockByHash,
    EngineBlockPart,
    EngineEpoch,
    StoreIdentity,
    KeyRegister,
    SignedCheckpoint,
    CheckpointByDigest,
    SettlementLease,
    SettlementCheckpoint,
    SettledTrade,
    TradingDay,
    Order,
    OpenOrder,
    TradeByAccount,
    OrderByAccount,
    OrderByClientOrderId,
    LedgerEvent,
    Transfer,
    TransferByReference,
    Balance,
    AccountSetting,
    Candle,
    Definition,
    ProjectionUndo,
    ProjectionProgress,
    BucketTree,
    TradeDate,
    AccountPart,
    CandleMonth,
    LedgerAccount,
)
