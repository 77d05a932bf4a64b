"""Rows of trade, order and block tables: decimals, names and UTC times."""

from dataclasses import dataclass

from back_office.formats import Figure, ReferenceData, utc_time
from matching.core.hashes import hash_text
from settlement.stores.base import Order, StoredBlock, Trade


@dataclass(frozen=True, slots=True)
class TradeRow:
    id: int
    number: int | None  # within the instrument
    block: int
    time: str
    symbol: str
    base: str
    quote: str
    price: Figure
    quantity: Figure
    notional: Figure
    taker_side: str
    buyer: int
    seller: int
    buyer_order: int
    seller_order: int
    maker_order: int
    taker_order: int
    buyer_fee: Figure
    seller_fee: Figure

    @classmethod
    def of(cls, trade: Trade, reference: ReferenceData) -> "TradeRow":
        instrument = reference.instrument(trade.symbol)
        base, quote = (instrument.base.symbol, instrument.quote.symbol) if instrument else ("", "")
        quote_unit = instrument.quote_unit if instrument else 1
        maker_first = trade.maker_order_id, trade.taker_order_id
        buyer_order, seller_order = maker_first if trade.taker_side == "sell" else maker_first[::-1]
        return cls(
            id=trade.trade_id,
            number=trade.trade_number,
            block=trade.block_number,
            time=utc_time(trade.timestamp_ns),
            symbol=trade.symbol,
            base=base,
            quote=quote,
            price=reference.price(trade.symbol, trade.price),
            quantity=reference.quantity(trade.symbol, trade.quantity),
            notional=reference.amount(quote, trade.price * trade.quantity * quote_unit),
            taker_side=trade.taker_side,
            buyer=trade.buyer,
            seller=trade.seller,
            buyer_order=buyer_order,
            seller_order=seller_order,
            maker_order=trade.maker_order_id,
            taker_order=trade.taker_order_id,
            buyer_fee=reference.amount(base, trade.buyer_fee),
            seller_fee=reference.amount(quote, trade.seller_fee),
        )


@dataclass(frozen=True, slots=True)
class OrderRow:
    id: int
    account: int
    symbol: str
    base: str
    quote: str
    side: str
    kind: str  # "limit", "stop loss", …
    time_in_force: str
    post_only: bool
    self_trade_prevention: str
    client_order_id: str
    price: Figure | None
    quantity: Figure | None
    quote_quantity: Figure | None
    filled: Figure
    remaining: Figure
    filled_percent: int | None  # None for an order by quote_quantity
    status: str
    reason: str
    placed: str
    updated: str
    updated_sequence: int
    trigger_price: Figure | None
    triggered: str
    visible_quantity: Figure | None
    other_leg: int | None  # the other order of a one-cancels-other

    @property
    def is_open(self) -> bool:
        return self.status in ("open", "waiting")

    @classmethod
    def of(cls, order: Order, reference: ReferenceData) -> "OrderRow":
        symbol = order.symbol
        instrument = reference.instrument(symbol)
        base, quote = (instrument.base.symbol, instrument.quote.symbol) if instrument else ("", "")
        by_quote = order.quote_quantity
        return cls(
            id=order.order_id,
            account=order.account,
            symbol=symbol,
            base=base,
            quote=quote,
            side=order.side,
            kind=order.order_type.replace("_", " "),
            time_in_force=order.time_in_force,
            post_only=order.post_only,
            self_trade_prevention=order.self_trade_prevention.replace("_", " "),
            client_order_id=order.client_order_id or "",
            price=None if order.price is None else reference.price(symbol, order.price),
            quantity=None if order.quantity is None else reference.quantity(symbol, order.quantity),
            quote_quantity=None if by_quote is None else reference.amount(quote, by_quote),
            filled=reference.quantity(symbol, order.filled),
            remaining=reference.quantity(symbol, order.remaining),
            filled_percent=100 * order.filled // order.quantity if order.quantity else None,
            status=order.status,
            reason=(order.reason or "").replace("_", " "),
            placed=utc_time(order.placed_at_ns),
            updated=utc_time(order.updated_at_ns),
            updated_sequence=order.updated_sequence,
            trigger_price=None if order.trigger_price is None else reference.price(symbol, order.trigger_price),
            triggered=utc_time(order.triggered_at_ns) if order.triggered_at_ns is not None else "",
            visible_quantity=(
                None if order.visible_quantity is None else reference.quantity(symbol, order.visible_quantity)
            ),
            other_leg=_other_leg(order),
        )


def _other_leg(order: Order) -> int | None:
    """The legs of a list are the order that it is named after, and the next one."""
    if order.order_list_id is None:
        return None
    return 2 * order.order_list_id + 1 - order.order_id


@dataclass(frozen=True, slots=True)
class BlockRow:
    """`commands` and `events` are counts: last sequence minus first, plus 1."""

    number: int
    hash: str
    prev_hash: str
    epoch: int
    time: str
    commands: int
    first_command: int
    last_command: int
    events: int
    first_event: int
    last_event: int
    trades: int

    @classmethod
    def of(cls, block: StoredBlock) -> "BlockRow":
        return cls(
            number=block.number,
            hash=hash_text(block.hash),
            prev_hash=hash_text(block.prev_hash),
            epoch=block.epoch,
            time=utc_time(block.timestamp_ns),
            commands=block.last_command_sequence - block.first_command_sequence + 1,
            first_command=block.first_command_sequence,
            last_command=block.last_command_sequence,
            events=block.last_event_sequence - block.first_event_sequence + 1,
            first_event=block.first_event_sequence,
            last_event=block.last_event_sequence,
            trades=block.trade_count,
        )
