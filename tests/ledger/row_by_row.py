"""Ledger legs and balances, computed event by event in plain Python: the slow reference of `ledger`."""

from collections.abc import Iterable, MutableMapping
from typing import NamedTuple

from ledger.api import LegKind
from matching.core.codes import HOUSE_ACCOUNT, EventKind, Side
from matching.core.reading.event_rows import EventRow
from matching.core.registry import Registry

# Plain integers: comparing with an IntEnum member costs several times as much, and this runs for every event.
_TRADE = int(EventKind.TRADE)
_ACCEPTED = int(EventKind.ORDER_ACCEPTED)
_CANCELLED = int(EventKind.ORDER_CANCELLED)
_REPLACED = int(EventKind.ORDER_REPLACED)
_TRIGGERED = int(EventKind.ORDER_TRIGGERED)
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
    """The legs of one event; empty if it changes no balance. `registry` has to contain its asset or instrument."""
    kind = event.kind
    if kind == _TRADE:
        return _trade(event, registry)
    if kind in (_ACCEPTED, _CANCELLED, _REPLACED, _TRIGGERED):
        return _order(event, registry)
    if kind in (_DEPOSITED, _WITHDRAWN):
        return _transfer(event, registry)
    return []


def _trade(event: EventRow, registry: Registry) -> list[Leg]:
    instrument = registry.instruments[event.instrument]
    base, quote = instrument.base.symbol, instrument.quote.symbol
    base_amount = event.quantity * instrument.lot_units
    quote_amount = event.quantity * event.price * instrument.quote_unit
    taker, maker = event.account, event.other_account
    buyer, seller = (taker, maker) if event.side == _BUY else (maker, taker)
    result = [Leg(buyer, quote, "trade_debit", 0, -quote_amount)]
    if event.amount:
        result.append(Leg(buyer, quote, "release", event.amount, -event.amount))
    result.append(Leg(buyer, base, "trade_credit", base_amount, 0))
    if event.buyer_fee:
        result.append(Leg(buyer, base, "fee", -event.buyer_fee, 0))
    result.append(Leg(seller, base, "trade_debit", 0, -base_amount))
    result.append(Leg(seller, quote, "trade_credit", quote_amount, 0))
    if event.seller_fee:
        result.append(Leg(seller, quote, "fee", -event.seller_fee, 0))
    if event.buyer_fee:
        result.append(Leg(HOUSE_ACCOUNT, base, "fee", event.buyer_fee, 0))
    if event.seller_fee:
        result.append(Leg(HOUSE_ACCOUNT, quote, "fee", event.seller_fee, 0))
    if event.taker_unlock:
        result.append(Leg(taker, quote, "unlock", event.taker_unlock, -event.taker_unlock))
    return result


def _order(event: EventRow, registry: Registry) -> list[Leg]:
    instrument = registry.instruments[event.instrument]
    asset = instrument.quote.symbol if event.side == _BUY else instrument.base.symbol
    locked = -event.amount if event.kind == _CANCELLED else event.amount
    result = []
    if locked:
        result.append(Leg(event.account, asset, "lock" if locked > 0 else "unlock", -locked, locked))
    if event.taker_unlock:
        # The event's account is also the command's: a command only cancels orders of its own account (self-trade
        # prevention).
        result.append(Leg(event.account, instrument.quote.symbol, "unlock", event.taker_unlock, -event.taker_unlock))
    return result


def _transfer(event: EventRow, registry: Registry) -> list[Leg]:
    asset = registry.assets[event.instrument].symbol
    if event.kind == _DEPOSITED:
        return [Leg(event.account, asset, "deposit", event.amount, 0)]
    return [Leg(event.account, asset, "withdrawal", -event.amount, 0)]


BalanceKey = tuple[int, str]
"""(account, asset symbol)"""


class Overdrawn(Exception):
    """A leg would make a balance negative: the balance given is not the one from before the leg's event."""


Funds = tuple[int, int]
"""(available, locked): an account's balance of one asset, in the asset's smallest unit.

A plain tuple, because one is created per leg and a named tuple takes three times as long to create.
"""

ZERO_FUNDS: Funds = (0, 0)


def apply_legs(legs: Iterable[Leg], balances: MutableMapping[BalanceKey, Funds]) -> list[Funds]:
    """Applies legs to `balances` in order; returns the balance after each leg. A missing key is a zero balance.

    Raises Overdrawn; the legs before the faulty one have been applied by then.
    """
    after = []
    for account, asset, kind, delta_available, delta_locked in legs:
        available, locked = balances.get((account, asset), ZERO_FUNDS)
        available += delta_available
        locked += delta_locked
        if available < 0 or locked < 0:
            raise Overdrawn(
                f"A {kind} of ({delta_available}, {delta_locked}) leaves account {account} with {available} {asset} "
                f"available and {locked} locked."
            )
        funds = balances[account, asset] = (available, locked)
        after.append(funds)
    return after
