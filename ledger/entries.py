"""Ledger legs: what an event does to balances, as a pure function of the event (docs/semantics.md, section 6).

Legs of an event are numbered from 0 in the order in which `legs` gives them; a leg that changes nothing is left out
and takes no number. The order is part of the ledger's form (a leg's number is in its key):

    deposited        deposit
    withdrawn        withdrawal
    order_accepted   lock
    order_replaced   lock, or unlock where less is held than before
    order_cancelled  unlock
    trade            buyer: trade_debit and release (quote), trade_credit and fee (base);
                     seller: trade_debit (base), trade_credit and fee (quote); house: fee (base), fee (quote)
    then, on whichever event ends an order by quote_quantity with money left: unlock
"""

from typing import Literal, NamedTuple

from matching.core.codes import HOUSE_ACCOUNT, EventKind, Side
from matching.core.layout import EVENT
from matching.core.registry import Registry

LegKind = Literal["deposit", "withdrawal", "lock", "unlock", "trade_debit", "trade_credit", "release", "fee"]

EventRow = tuple[int, ...]
"""One EVENT record as `records.tolist()` gives it: plain integers, in the order of the record's fields."""

MOST_LEGS = 10
"""No event has more: nine of a trade, and the unlock of what a quote_quantity order leaves over."""

assert EVENT.names is not None
FIELDS = {name: place for place, name in enumerate(EVENT.names)}
"""Where a field of an event stands in its row."""

_TAKER_UNLOCK = FIELDS["taker_unlock"]
_KIND = FIELDS["kind"]

# Plain integers: comparing with an IntEnum member costs several times as much, and this runs for every event.
_TRADE = int(EventKind.TRADE)
_ACCEPTED = int(EventKind.ORDER_ACCEPTED)
_CANCELLED = int(EventKind.ORDER_CANCELLED)
_REPLACED = int(EventKind.ORDER_REPLACED)
_DEPOSITED = int(EventKind.DEPOSITED)
_WITHDRAWN = int(EventKind.WITHDRAWN)
_BUY = int(Side.BUY)


class Leg(NamedTuple):
    """One change of one balance, in the asset's smallest unit; at least one of the two deltas is not 0."""

    account: int
    asset: str
    kind: LegKind
    delta_available: int
    delta_locked: int


def legs(event: EventRow, registry: Registry) -> list[Leg]:
    """The legs of one event; none for an event that moves nothing. `registry` knows its asset or instrument."""
    kind = event[_KIND]
    if kind == _TRADE:
        return _trade(event, registry)
    if kind in (_ACCEPTED, _CANCELLED, _REPLACED):
        return _order(event, registry)
    if kind in (_DEPOSITED, _WITHDRAWN):
        return _transfer(event, registry)
    return []


def _trade(event: EventRow, registry: Registry) -> list[Leg]:
    (_, _, _, taker_side, _, _, instrument_id, _, taker, _, maker, price, quantity, released, *ends) = event
    buyer_fee, seller_fee, unlocked = ends
    instrument = registry.instruments[instrument_id]
    base, quote = instrument.base.symbol, instrument.quote.symbol
    base_amount = quantity * instrument.lot_units
    quote_amount = quantity * price * instrument.quote_unit
    buyer, seller = (taker, maker) if taker_side == _BUY else (maker, taker)
    result = [Leg(buyer, quote, "trade_debit", 0, -quote_amount)]
    if released:
        result.append(Leg(buyer, quote, "release", released, -released))
    result.append(Leg(buyer, base, "trade_credit", base_amount, 0))
    if buyer_fee:
        result.append(Leg(buyer, base, "fee", -buyer_fee, 0))
    result.append(Leg(seller, base, "trade_debit", 0, -base_amount))
    result.append(Leg(seller, quote, "trade_credit", quote_amount, 0))
    if seller_fee:
        result.append(Leg(seller, quote, "fee", -seller_fee, 0))
    if buyer_fee:
        result.append(Leg(HOUSE_ACCOUNT, base, "fee", buyer_fee, 0))
    if seller_fee:
        result.append(Leg(HOUSE_ACCOUNT, quote, "fee", seller_fee, 0))
    if unlocked:
        result.append(Leg(taker, quote, "unlock", unlocked, -unlocked))
    return result


def _order(event: EventRow, registry: Registry) -> list[Leg]:
    (_, _, kind, side, _, _, instrument_id, _, account, _, _, _, _, amount, *ends) = event
    instrument = registry.instruments[instrument_id]
    asset = instrument.quote.symbol if side == _BUY else instrument.base.symbol
    locked = -amount if kind == _CANCELLED else amount
    result = []
    if locked:
        result.append(Leg(account, asset, "lock" if locked > 0 else "unlock", -locked, locked))
    unlocked = ends[2]
    if unlocked:
        # The command's account: it is the event's too, since an order that is cancelled within another order's
        # command was that account's own (self-trade prevention).
        result.append(Leg(account, instrument.quote.symbol, "unlock", unlocked, -unlocked))
    return result


def _transfer(event: EventRow, registry: Registry) -> list[Leg]:
    (_, _, kind, _, _, _, asset_id, _, account, _, _, _, _, amount, *_) = event
    asset = registry.assets[asset_id].symbol
    if kind == _DEPOSITED:
        return [Leg(account, asset, "deposit", amount, 0)]
    return [Leg(account, asset, "withdrawal", -amount, 0)]
