"""What the read model answers with. Prices in ticks, quantities in lots, amounts in the asset's smallest unit, times in
nanoseconds since the Unix epoch; `Instrument` prints them."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from matching.core.codes import OrderType, Reason, SelfTradePrevention, Side, TimeInForce
from matching.core.reading.event_rows import EventRow
from matching.core.registry import Asset


class Level(NamedTuple):
    price: int
    quantity: int  # visible lots


@dataclass(frozen=True, slots=True)
class Depth:
    """A book's visible levels, best first, as of the last 100 ms window of block time that has ended."""

    last_update_id: int
    bids: Sequence[Level]
    asks: Sequence[Level]


class Trade(NamedTuple):
    trade_number: int  # 1, 2, 3, … within the instrument: the API's trade id
    trade_id: int  # event sequence
    price: int
    quantity: int
    time_ns: int
    taker_side: Side
    maker_order_id: int
    taker_order_id: int
    command_sequence: int


class AggregateTrade(NamedTuple):
    """Consecutive trades of one command and taker at one price."""

    id: int  # the first trade's number: rises, with gaps
    price: int
    quantity: int
    first_trade_number: int
    last_trade_number: int
    time_ns: int
    taker_side: Side


class Candle(NamedTuple):
    """One interval. An interval without a trade is flat at the last close, with zero volumes and trade numbers -1."""

    open_time_ns: int
    close_time_ns: int  # the interval's last nanosecond
    open: int
    high: int
    low: int
    close: int
    volume: int  # lots
    quote_volume: int
    trade_count: int
    taker_buy_volume: int  # lots
    taker_buy_quote_volume: int
    first_trade_number: int
    last_trade_number: int


class BookTicker(NamedTuple):
    """The best levels after the newest block; a price of 0: that side is empty."""

    update_id: int
    bid_price: int
    bid_quantity: int
    ask_price: int
    ask_quantity: int


class Ticker(NamedTuple):
    """Statistics of a window of time. Without a trade in it, prices are those of the last trade before it, or 0."""

    open_time_ns: int
    close_time_ns: int
    open: int
    high: int
    low: int
    last: int
    last_quantity: int
    previous_close: int  # of the last trade before the window, 0: none
    volume: int  # lots
    quote_volume: int
    first_trade_number: int  # -1: no trade in the window
    last_trade_number: int
    trade_count: int


class Balance(NamedTuple):
    asset: Asset
    available: int
    locked: int


class Fees(NamedTuple):
    """Rates in parts per million of what the account receives."""

    maker: int
    taker: int


class OrderStatus(Enum):
    WAITING = "waiting"  # for its trigger
    OPEN = "open"  # in the book, with or without fills
    FILLED = "filled"
    CANCELLED = "cancelled"  # with `reason`

    @property
    def is_open(self) -> bool:
        return self in (OrderStatus.OPEN, OrderStatus.WAITING)


class Order(NamedTuple):
    """An order after its last change, open or recently closed."""

    order_id: int
    account: int
    instrument_id: int
    client_order_id: str  # "": none was given
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    self_trade_prevention: SelfTradePrevention
    price: int | None  # None: a type without a price
    trigger_price: int | None
    quantity: int | None  # lots, traded plus open; at the end still what was ordered; None: by quote_quantity
    quote_quantity: int | None  # quote units
    visible_quantity: int | None  # lots, of an iceberg
    order_list_id: int | None  # of a one-cancels-other: the order_id of its limit leg
    filled: int  # lots
    filled_quote: int  # quote units, the sum over its trades; -1: not known, as it began to trade before the model
    status: OrderStatus
    reason: Reason  # of a cancellation, NONE otherwise
    met_order_id: int | None  # with reason SELF_TRADE: the other order
    prevented_quantity: int  # lots that self-trade prevention cancelled
    placed_at_ns: int
    working_at_ns: int | None  # when it could trade first: None while it waits for its trigger
    updated_at_ns: int
    updated_sequence: int  # of the event that changed it last

    @property
    def is_open(self) -> bool:
        return self.status.is_open


class Fill(NamedTuple):
    """One account's side of one trade. The fee is in the asset that the account receives: base if it buys."""

    trade_number: int  # the API's trade id
    trade_id: int  # event sequence
    order_id: int
    order_list_id: int | None
    account: int
    instrument_id: int
    price: int
    quantity: int
    quote_amount: int
    fee: int
    side: Side
    is_maker: bool
    time_ns: int


@dataclass(frozen=True, slots=True)
class OrderList:
    """A one-cancels-other with its legs, the limit leg first."""

    order_list_id: int
    list_client_order_id: str  # "": none was given
    account: int
    instrument_id: int
    placed_at_ns: int
    orders: Sequence[Order]

    @property
    def is_open(self) -> bool:
        return any(order.is_open for order in self.orders)


@dataclass(frozen=True, slots=True)
class Amendment:
    """A replacement that kept or lost the order's place in the queue."""

    sequence: int  # of the event
    order_id: int
    old_quantity: int  # lots, traded plus open
    new_quantity: int
    kept_priority: bool
    time_ns: int
    old_name: str  # client order ids; "": it had none, or it is not known
    new_name: str


@dataclass(frozen=True, slots=True)
class OrderChange:
    """One event of an order of a watched account, and the order just after it."""

    event: EventRow
    order: Order
    fill: Fill | None  # of a trade: the account's own side
    request_name: str  # of a cancellation by a command: the command's request_id, "" if it has none
    earlier_name: str = ""  # of a replacement: the client order id that the order had before


@dataclass(frozen=True, slots=True)
class Transfer:
    """A deposit or withdrawal of a watched account."""

    event: EventRow
    asset: Asset
    amount: int  # negative: a withdrawal


@dataclass(frozen=True, slots=True)
class AccountCommand:
    """What one command changed for a watched account, in order of the events."""

    command_sequence: int
    time_ns: int
    last_sequence: int  # of its events
    changes: Sequence[OrderChange | Transfer]
    balances: Sequence[Balance]  # those it changed, as they stand after it
