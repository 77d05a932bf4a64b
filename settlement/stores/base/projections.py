"""Rows that are derived from blocks, and writing them."""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple, Protocol

from matching.core.decimals import INT64_MAX
from settlement.stores.base.blocks import NOTHING_YET, Checkpoint

MOST_VOLUME = INT64_MAX
"""A candle's volume stops here and then means "at least so many".

It is the only stored sum that may pass int64: the same lots may be traded any number of times in a minute. Balances are
bounded by an asset's supply, and an order's filled lots by the engine, which refuses what would pass int64.
"""


class Trade(NamedTuple):
    trade_id: int  # its event sequence
    block_number: int
    timestamp_ns: int
    symbol: str
    price: int  # ticks
    quantity: int  # lots
    taker_side: str  # "buy" or "sell"
    maker_order_id: int
    taker_order_id: int
    buyer: int
    seller: int
    buyer_fee: int  # base units
    seller_fee: int  # quote units


class Order(NamedTuple):
    order_id: int  # its command sequence
    account: int
    symbol: str
    side: str
    order_type: str
    time_in_force: str
    post_only: bool
    self_trade_prevention: str
    client_order_id: str | None
    price: int | None  # ticks; None: market
    quantity: int | None  # lots, traded and open; None: by quote_quantity
    quote_quantity: int | None  # quote units
    filled: int  # lots
    remaining: int  # lots open
    status: str  # "open", "filled", "cancelled"
    reason: str | None  # why cancelled
    placed_at_ns: int
    updated_at_ns: int
    updated_sequence: int  # event that set this state


class LedgerEvent(NamedTuple):
    """One change of one balance, in the asset's smallest unit."""

    event_sequence: int
    leg: int  # 0, 1, 2, … within the event
    block_number: int
    timestamp_ns: int
    account: int
    asset: str
    kind: str
    delta_available: int
    delta_locked: int
    available_after: int
    locked_after: int


class Balance(NamedTuple):
    account: int
    asset: str
    available: int
    locked: int
    sequence: int  # event that set it


class Candle(NamedTuple):
    """One minute of one instrument."""

    symbol: str
    minute_ns: int  # start of the minute
    open: int  # ticks
    high: int
    low: int
    close: int
    volume: int  # lots; MOST_VOLUME: at least so many
    trade_count: int
    last_trade_id: int


class TradingDay(NamedTuple):
    day: date  # UTC
    first_trade_id: int
    last_trade_id: int


class Definition(NamedTuple):
    """A command on reference data that was applied, in order: `matching.core.registry.Registry.apply` takes it."""

    event_sequence: int
    kind: int  # matching.core.codes.CommandKind
    text: str


class Before(NamedTuple):
    """The rows that a batch changes as they were before it; what it adds is not among them."""

    orders: Sequence[Order]
    balances: Sequence[Balance]
    candles: Sequence[Candle]


class Slice(NamedTuple):
    """The events of a large block that are projected as one batch."""

    after: int  # the event before them; 0: they begin with the block
    through: int  # the last of them; 0: they end with the block


WHOLE = Slice(0, 0)


class Projection(NamedTuple):
    """What some consecutive blocks, or a slice of one, do to the tables, ready to be written as one batch.

    `orders`, `balances`, `candles` and `days` hold the last state only, one row a key. `before` is for a store that is
    not atomic, None for others and for batches that a projector did not make.
    """

    checkpoint: Checkpoint
    trades: Sequence[Trade] = ()
    orders: Sequence[Order] = ()
    ledger_events: Sequence[LedgerEvent] = ()
    balances: Sequence[Balance] = ()
    candles: Sequence[Candle] = ()
    days: Sequence[TradingDay] = ()
    definitions: Sequence[Definition] = ()
    before: Before | None = None
    slice: Slice = WHOLE  # of the checkpoint's block


class Tables(Protocol):
    """What a projector reads: the rows as its first block finds them."""

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]: ...

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]: ...

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]: ...

    def trading_day(self, day: date) -> TradingDay | None: ...


class ProjectionStore(Protocol):
    is_atomic: bool
    """Whether `insert_batch` is done wholly or not at all; else it wants to know `Projection.before`."""

    def insert_trade(self, trade: Trade) -> None:
        """`insert_rows` with one trade."""

    def insert_ledger_events(self, events: Sequence[LedgerEvent]) -> None:
        """`insert_rows` with these."""

    def insert_batch(self, projection: Projection, follows: Checkpoint | None = None) -> None:
        """All rows of the batch, then the `projected` checkpoint, which never goes back here.

        `follows` is the checkpoint that the batch was made on; None: whatever is there. Raises
        settlement.errors.StoreReplaced, and writes nothing, where the store is neither there nor past the batch, or
        does not hold its blocks. Of a slice that is not the block's last the checkpoint stays where it is, and
        `projected_within` moves.
        """

    def insert_rows(self, projection: Projection) -> None:
        """As `insert_batch`, but the checkpoint stays: rows of a dead letter, which newer rows may have overtaken."""

    def drop_projections(self) -> None:
        """Empties everything that can be rebuilt from blocks, and sets the `projected` checkpoint to block 0."""

    def reset_projections(self, first_event_sequence: int, base: Projection) -> None:
        """Goes back to where `base.checkpoint` is: drops every row that this event or a later one set, writes `base`.

        `base` holds every balance, every open order and the current candles as they were before that event. When this
        fails half-way the `projected` checkpoint is 0, and `drop_projections` is the way out.
        """

    def projected(self) -> Checkpoint: ...

    def projected_within(self) -> int:
        """The event to which the block after `projected` is projected: its slices up to there are; 0: none of them."""

    def projecting(self) -> int:
        """The newest block that rows may tell of: past `projected` while a batch is written, or after it failed, and
        between the slices of a block."""

    def at_checkpoint(self) -> Tables:
        """The rows as the `projected` block, or the slices after it, left them; and as the batches leave them that this
        store writes then."""

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        """Those that exist, in any order; ids may be many (the store asks in pieces)."""

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        """Those that exist of the balances (account, asset)."""

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]: ...

    def definitions(self) -> list[Definition]: ...


class SingleInserts:
    """One trade, or the entries of one event, by the same path as a batch of rows: for every store."""

    def insert_trade(self: ProjectionStore, trade: Trade) -> None:
        self.insert_rows(Projection(NOTHING_YET, trades=[trade]))

    def insert_ledger_events(self: ProjectionStore, events: Sequence[LedgerEvent]) -> None:
        self.insert_rows(Projection(NOTHING_YET, ledger_events=events))
