"""The store contract: what settlement writes and what lookups read, whatever the database.

Units are the engine's (matching/core/layout.py): ticks, lots, smallest units, nanoseconds; `definitions` gives what is
needed to turn them into decimals. Every write is absolute and idempotent: the same call again, or a call again with
part of its rows there already, ends in the same rows. Pages are keyset pages: a `before` or `after` key and a limit;
nothing counts and nothing skips.

    StoreError
    ├── StoreUnavailable    transient: retry (no connection, time-out, locked); the write may or may not be done
    └── StoreRejected       permanent: the same call fails again; a projection becomes a dead letter
        ├── StoreMisconfigured   no row would be taken, whatever is in it: mend the server, the database or the settings
        │   └── StoreUninitialized   the tables are not there: `init` makes them
        ├── Fenced               the blocks are of an epoch that has ended: look at `epochs` and go on from there
        └── Outrun               an epoch may not begin there: the store has gone past that block, or holds another
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple, Protocol

from matching.core.decimals import INT64_MAX
from matching.core.epochs import Epoch

MOST_VOLUME = INT64_MAX
"""A candle's volume stops here and then means "at least so many".

It is the only stored sum that may pass int64: the same lots may be traded any number of times in a minute. Balances are
bounded by an asset's supply, and an order's filled lots by the engine, which refuses what would pass int64.
"""


class StoreError(Exception):
    """Base of what a store raises; its text is one sentence for a person."""


class StoreUnavailable(StoreError):
    pass


class StoreRejected(StoreError):
    pass


class StoreMisconfigured(StoreRejected):
    pass


class StoreUninitialized(StoreMisconfigured):
    pass


class Fenced(StoreRejected):
    pass


class Outrun(StoreRejected):
    pass


class StoredBlock(NamedTuple):
    number: int
    hash: int
    prev_hash: int
    epoch: int
    timestamp_ns: int
    first_command_sequence: int
    last_command_sequence: int
    first_event_sequence: int
    last_event_sequence: int
    trade_count: int
    data: bytes


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


class Checkpoint(NamedTuple):
    """Where a stage of settlement stands. Block 0 with hash 0: nothing yet."""

    block_number: int
    hash: int
    epoch: int


class DeadLetter(NamedTuple):
    """A block whose projection the store refused for good. One a block."""

    id: int  # the block's number
    block_number: int
    error: str
    attempts: int
    first_failed_at_ns: int
    last_failed_at_ns: int
    resolved_at_ns: int | None
    projection: str = (
        ""  # the refused rows as JSON (settlement.project.dead_letters); `dead_letters()` may leave it empty
    )


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
    trades: Sequence[Trade]
    orders: Sequence[Order]
    ledger_events: Sequence[LedgerEvent]
    balances: Sequence[Balance]
    candles: Sequence[Candle]
    days: Sequence[TradingDay]
    definitions: Sequence[Definition]
    before: Before | None = None
    slice: Slice = WHOLE  # of the checkpoint's block


class Tables(Protocol):
    """What a projector reads: the rows as its first block finds them."""

    def get_orders(self, order_ids: Sequence[int]) -> list[Order]: ...

    def get_balances(self, keys: Sequence[tuple[int, str]]) -> list[Balance]: ...

    def get_candles(self, keys: Sequence[tuple[str, int]]) -> list[Candle]: ...

    def trading_day(self, day: date) -> TradingDay | None: ...


class Store(Protocol):
    """Raises StoreUnavailable or StoreRejected from every method; what else, the method says."""

    is_atomic: bool
    """Whether `insert_batch` is done wholly or not at all; else it wants to know `Projection.before`."""

    def connect(self) -> None:
        """Opens what is needed; safe again. Never called before a fork."""

    def close(self) -> None: ...

    def init(self) -> None:
        """Creates keyspace or tables; safe twice."""

    def ping(self) -> None:
        """Really asks the database."""

    # settlement writes

    def append_blocks(self, blocks: Sequence[StoredBlock]) -> None:
        """Consecutive blocks and the `appended` checkpoint, durable when this returns.

        Those that are there already, the same, are a repeat, and the checkpoint never goes back. Raises Fenced, and
        writes nothing, when one is of an epoch older than one that has begun at or before it; else
        settlement.errors.StoreReplaced, and writes nothing, when they do not continue what the store holds.
        """

    def begin_epoch(self, epoch: Epoch) -> None:
        """Keeps `epoch`, whose number is one more than the newest; from now on older blocks are fenced.

        One transaction with its conditions: raises Fenced where another epoch with that number, or a newer one, has
        begun already; Outrun where the store holds a block past `first_block - 1`, or another block there. The same
        epoch again is kept already and does nothing.
        """

    def epochs(self) -> list[Epoch]:
        """All of them, by number."""

    def insert_trade(self, trade: Trade) -> None: ...

    def insert_ledger_events(self, events: Sequence[LedgerEvent]) -> None: ...

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

    def put_dead_letter(self, letter: DeadLetter) -> None: ...

    # settlement reads

    def appended(self) -> Checkpoint: ...

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

    # lookups

    def get_block(self, number: int) -> StoredBlock | None: ...

    def blocks(self, first: int, last: int | None = None) -> Iterator[StoredBlock]:
        """Stored blocks by number, read a few at a time."""

    def block_of_event(self, event_sequence: int) -> StoredBlock | None: ...

    def newest_blocks(self, limit: int, before: int | None = None) -> list[StoredBlock]:
        """Newest first, `data` left empty."""

    def get_trade_by_id(self, trade_id: int) -> Trade | None: ...

    def get_trades_by_sequence_range(self, first: int, last: int, limit: int, symbol: str | None = None) -> list[Trade]:
        """Oldest first; go on with first = last trade_id + 1."""

    def newest_trades(
        self, limit: int, *, before: int | None = None, after: int | None = None, symbol: str | None = None
    ) -> list[Trade]:
        """Newest first, trade_id < before and > after."""

    def get_trades_by_account(self, account: int, limit: int, before: int | None = None) -> list[Trade]:
        """Newest first, as buyer or seller."""

    def trading_day(self, day: date) -> TradingDay | None: ...

    def newest_orders(self, limit: int, *, before: int | None = None, symbol: str | None = None) -> list[Order]: ...

    def get_orders_by_account(self, account: int, limit: int, before: int | None = None) -> list[Order]: ...

    def get_orders_by_sequence_range(self, first: int, last: int, limit: int) -> list[Order]:
        """By order_id, oldest first; go on with first = last order_id + 1."""

    def open_orders(self) -> Iterator[Order]:
        """By order_id, read a few at a time."""

    def get_ledger_events(self, first_sequence: int, last_sequence: int) -> list[LedgerEvent]:
        """By (event_sequence, leg)."""

    def get_ledger_events_by_account(
        self, account: int, limit: int, *, asset: str | None = None, before: tuple[int, int] | None = None
    ) -> list[LedgerEvent]:
        """Newest first; `before` is (event_sequence, leg)."""

    def balances(self, after: tuple[int, str] | None = None, limit: int | None = None) -> Iterator[Balance]:
        """By (account, asset), read a few at a time."""

    def balances_of(self, account: int) -> list[Balance]: ...

    def candles(self, symbol: str, limit: int) -> list[Candle]:
        """The newest minutes, oldest first."""

    def dead_letters(self, unresolved_only: bool = True) -> list[DeadLetter]:
        """By block number, without their rows."""

    def newest_dead_letters(
        self, limit: int, *, before: int | None = None, unresolved_only: bool = False
    ) -> list[DeadLetter]:
        """Newest block first, without their rows."""

    def get_dead_letter(self, id: int) -> DeadLetter | None:
        """With its rows."""
