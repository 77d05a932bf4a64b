"""The rows that are derived from blocks, and the writes of them."""

from collections.abc import Sequence
from datetime import date
from typing import Any, NamedTuple, Protocol

from matching.core.decimals import INT64_MAX
from settlement.stores.base.blocks import NOTHING_YET, Checkpoint
from settlement.stores.base.columns import ColumnTable

MAX_VOLUME = INT64_MAX
"""The largest volume of a candle; it means "at least this many lots".

The volume is the only stored sum that can exceed int64, because the same lots can be traded any number of times in a
minute. Balances are bounded by an asset's supply. The engine bounds an order's filled lots.
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
    trade_number: int | None = None  # 1, 2, 3, … within the instrument; None: of a block before record layout 3


OPEN_STATUSES = ("open", "waiting")


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
    price: int | None  # ticks; None: a type without a price
    quantity: int | None  # lots, filled and open; None: quote_quantity is set
    quote_quantity: int | None  # quote units
    filled: int  # lots
    remaining: int  # lots open; 0 for an order by quote_quantity
    status: str  # "open", "waiting" (for its trigger), "filled", "cancelled"
    reason: str | None  # why cancelled; of an order by quote_quantity, why it ended
    placed_at_ns: int
    updated_at_ns: int
    updated_sequence: int  # the event that set this state
    trigger_price: int | None = None  # ticks
    visible_quantity: int | None = None  # lots
    order_list_id: int | None = None  # order_id of the limit leg, for both legs of a one-cancels-other
    triggered_at_ns: int | None = None


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


class Transfer(NamedTuple):
    """A deposit or withdrawal. An account uses a reference at most once for each of the two.

    An earlier version projected none, until rebuild_projections.
    """

    event_sequence: int
    block_number: int
    timestamp_ns: int
    account: int
    asset: str
    kind: str  # deposit or withdrawal
    amount: int  # smallest units of the asset
    reference: str


class Balance(NamedTuple):
    account: int
    asset: str
    available: int
    locked: int
    sequence: int  # the event that set it


class AccountSetting(NamedTuple):
    """What an operator has set for an account: its status, or its own fee rates."""

    account: int
    kind: str  # "status" or "fees"
    symbol: str  # the instrument of the fees; "": all instruments, and for a status
    status: str | None  # "active", "no_trading", "frozen"; None: fees
    maker_fee: int | None  # ppm; None: a status, or fees that were taken away
    taker_fee: int | None
    sequence: int  # the event that set it


class Candle(NamedTuple):
    """One minute of one instrument."""

    symbol: str
    minute_ns: int  # start of the minute
    open: int  # ticks
    high: int
    low: int
    close: int
    volume: int  # lots; MAX_VOLUME: at least this many
    trade_count: int
    last_trade_id: int
    # What a minute lacks that an earlier version projected, until rebuild_projections; MAX_VOLUME: at least this much.
    quote_volume: int | None = None  # quote units that were paid
    taker_buy_volume: int | None = None  # lots that takers bought
    taker_buy_quote_volume: int | None = None  # quote units that they paid


class TradingDay(NamedTuple):
    day: date  # UTC
    first_trade_id: int
    last_trade_id: int


class Definition(NamedTuple):
    """A command on reference data that was applied, as `matching.core.registry.Registry.apply` accepts it."""

    event_sequence: int
    kind: int  # matching.core.codes.CommandKind
    text: str


class Before(NamedTuple):
    """The previous state of the rows that a batch changes. Rows that it adds are not included."""

    orders: Sequence[Order]
    balances: Sequence[Balance]
    candles: Sequence[Candle]


class Slice(NamedTuple):
    """A range of a large block's events that is projected as one batch."""

    after: int  # the event before the first one; 0: begins with the block
    through: int  # the last event; 0: ends with the block


WHOLE = Slice(0, 0)


class Projection(NamedTuple):
    """The rows that consecutive blocks, or a slice of one block, write; they are written as one batch.

    `orders`, `balances`, `candles`, `days` and `settings` have only the last state, one row per key. `before` is set
    for a store that is not atomic; it is None for other stores and for batches that do not come from a projector.
    """

    checkpoint: Checkpoint
    trades: Sequence[Trade] = ()
    orders: Sequence[Order] = ()
    ledger_events: Sequence[LedgerEvent] = ()
    balances: Sequence[Balance] = ()
    candles: Sequence[Candle] = ()
    days: Sequence[TradingDay] = ()
    definitions: Sequence[Definition] = ()
    settings: Sequence[AccountSetting] = ()
    before: Before | None = None
    slice: Slice = WHOLE  # of the checkpoint's block
    transfers: Sequence[Transfer] = ()


class Tables(Protocol):
    """The reads of a projector: the rows as they were before its first block."""

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]: ...

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]: ...

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]: ...

    def trading_day(self, day: date) -> TradingDay | None: ...


class ProjectionStore(Protocol):
    is_atomic: bool
    """Whether `insert_batch` is atomic; if not, it needs `Projection.before`."""

    def insert_trade(self, trade: Trade) -> None:
        """`insert_rows` for one trade."""

    def insert_ledger_events(self, events: Sequence[LedgerEvent]) -> None:
        """`insert_rows` for these ledger entries."""

    def insert_batch(self, projection: Projection, follows: Checkpoint | None = None) -> None:
        """Writes all rows of the batch, then moves the `projected` checkpoint, which never moves back here.

        `follows` is the checkpoint for which the batch was made; None: any. Raises settlement.errors.StoreReplaced
        without writing if the `projected` checkpoint is neither at `follows` nor past the batch, or if the store lacks
        the batch's blocks. A slice that is not the block's last one moves `projected_within`, not the checkpoint.
        """

    def insert_rows(self, projection: Projection) -> None:
        """Writes rows without moving the checkpoint, for a dead letter. Newer rows are not overwritten."""

    def drop_projections(self) -> None:
        """Deletes all rows that can be rebuilt from blocks, and sets the `projected` checkpoint to block 0."""

    def reset_projections(self, first_event_sequence: int, base: Projection) -> None:
        """Resets the projections to `base.checkpoint`: deletes rows set by this or a later event, writes `base`.

        `base` has all balances, all open orders, all account settings and the current candles as they were before that
        event. If this fails in between, the `projected` checkpoint is 0; then call `drop_projections`.
        """

    def projected(self) -> Checkpoint: ...

    def projected_within(self) -> int:
        """The event up to which the block after `projected` is projected in slices; 0: no slice of it is."""

    def transfers_missing_to(self) -> int:
        """The last block whose deposits and withdrawals may have no rows in `transfers`; 0: all have.

        A version without that table projected these blocks. `drop_projections` and `reset_projections` move it back.
        """

    def projecting(self) -> int:
        """The newest block of which there may be rows.

        It is after `projected` while a batch is written, after a batch has failed, and between the slices of a block.
        """

    def at_checkpoint(self) -> Tables:
        """A view of the rows as of the `projected` checkpoint and the slices after it.

        It moves on with the batches that this store object writes later.
        """

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]:
        """The existing orders, in any order. There may be many ids: the store splits them over several statements."""

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]:
        """The existing balances of these (account, asset) pairs, in any order."""

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]: ...

    def definitions(self) -> list[Definition]: ...

    def count_candles(self) -> int | None:
        """The number of candles; None: the database cannot tell without reading them all."""

    def count_trading_days(self) -> int | None:
        """As `count_candles`."""

    def has_exactly(self, rows: ColumnTable[Any], first: int, last: int, besides: Sequence[int] = ()) -> bool:
        """Whether the table of trades, ledger events or orders has just these rows from key `first` to `last`.

        The key is trade_id, event_sequence or order_id; rows are in the order of their keys. Orders of the ids
        `besides` are left aside. The database compares whole columns, so that no row is read. False does not mean that
        a row differs: a database may be unable to tell.
        """

    def has_orders(self, orders: ColumnTable[Order]) -> bool:
        """As `has_exactly`, for the orders of these ids wherever they are; they are in the order of their ids."""


class SingleInserts:
    """Mixin for all stores: writes one trade, or the ledger entries of one event, with `insert_rows`."""

    def insert_trade(self: ProjectionStore, trade: Trade) -> None:
        self.insert_rows(Projection(NOTHING_YET, trades=[trade]))

    def insert_ledger_events(self: ProjectionStore, events: Sequence[LedgerEvent]) -> None:
        self.insert_rows(Projection(NOTHING_YET, ledger_events=events))
