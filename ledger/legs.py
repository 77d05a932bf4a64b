"""Ledger legs: the balance changes of events, from the events and their instruments (docs/semantics.md, section 6).

The legs of an event are numbered from 0 in the order in which `legs_of` gives them; a leg that changes nothing is left
out and gets no number. The order is part of the stored format, because a ledger entry's key contains the leg number:

    deposited        deposit
    withdrawn        withdrawal
    order_accepted   lock
    order_replaced   lock, or unlock if the new order needs less
    order_triggered  lock or unlock, if the triggered order needs more or less than it held
    order_cancelled  unlock
    trade            buyer: trade_debit and release (quote), trade_credit and fee (base);
                     seller: trade_debit (base), trade_credit and fee (quote); house: fee (base), fee (quote)
    last, in blocks of record layouts 1 and 2, on the event that ends an order by quote_quantity with funds left: unlock
"""

from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from ledger.compiling import compiled, inlined
from matching.core.blocks import Records
from matching.core.codes import HOUSE_ACCOUNT, EventKind, Side
from matching.core.registry import Registry

Integers = npt.NDArray[np.int64]
LegKind = Literal["deposit", "withdrawal", "lock", "unlock", "trade_debit", "trade_credit", "release", "fee"]
LEG_KINDS: tuple[LegKind, ...] = get_args(LegKind)
"""The kinds by their codes in `Legs.kind`."""

MAX_LEGS = 10
"""Upper bound for one event: nine legs of a trade, and in early layouts the unlock of what an order left over."""

_DEPOSIT, _WITHDRAWAL, _LOCK, _UNLOCK, _DEBIT, _CREDIT, _RELEASE, _FEE = range(len(LEG_KINDS))
_TRADE = int(EventKind.TRADE)
_ACCEPTED = int(EventKind.ORDER_ACCEPTED)
_CANCELLED = int(EventKind.ORDER_CANCELLED)
_REPLACED = int(EventKind.ORDER_REPLACED)
_TRIGGERED = int(EventKind.ORDER_TRIGGERED)
_DEPOSITED = int(EventKind.DEPOSITED)
_WITHDRAWN = int(EventKind.WITHDRAWN)
_BUY = int(Side.BUY)
_HOUSE = int(HOUSE_ACCOUNT)
_OF_INSTRUMENTS = (_TRADE, _ACCEPTED, _CANCELLED, _REPLACED, _TRIGGERED)
_OF_ASSETS = (_DEPOSITED, _WITHDRAWN)


class UnknownInstrument(Exception):
    """An event names an instrument or asset that the registry lacks."""


class Legs(NamedTuple):
    """Changes of balances, in order; at least one of the two deltas is not 0. All arrays are int64 of one length."""

    event: Integers  # index of its event in the array given
    leg: Integers  # 0, 1, 2, … within the event
    account: Integers
    asset: Integers  # index in the registry
    kind: Integers  # index in LEG_KINDS
    delta_available: Integers  # the asset's smallest unit
    delta_locked: Integers


def legs_of(events: Records, unlocked: Integers, registry: Registry) -> Legs:
    """The legs of EVENT records.

    `unlocked` has the `taker_unlock` of each event of record layouts 1 and 2, and 0 for later ones. Raises
    UnknownInstrument.
    """
    _refuse_unknown(events, registry)
    terms = _terms(registry)
    columns = np.empty((len(Legs._fields), _count_legs(events, unlocked)), np.int64)
    _write_legs(events, unlocked, terms, columns)
    return Legs(*columns)


def _refuse_unknown(events: Records, registry: Registry) -> None:
    kinds, ids = events["kind"], events["instrument"]
    for wanted, known in ((_OF_INSTRUMENTS, len(registry.instruments)), (_OF_ASSETS, len(registry.assets))):
        faulty = np.isin(kinds, wanted) & (ids >= known)
        if faulty.any():
            event = events[int(faulty.argmax())]
            raise UnknownInstrument(f"Event {event['sequence']} names id {event['instrument']}, which is not defined.")


def _terms(registry: Registry) -> Integers:
    """(base, quote, lot_units, quote_unit) of each instrument."""
    rows = [(one.base.id, one.quote.id, one.lot_units, one.quote_unit) for one in registry.instruments]
    return np.array(rows, np.int64).reshape(-1, 4)


_compiled = compiled(Path(__file__))


@_compiled
def _count_legs(events: Records, unlocked: Integers) -> int:
    total = 0
    for place in range(len(events)):
        event = events[place]
        kind = event["kind"]
        if kind == _TRADE:
            total += 4 + (event["amount"] != 0) + 2 * (event["buyer_fee"] != 0) + 2 * (event["seller_fee"] != 0)
        elif kind in (_ACCEPTED, _CANCELLED, _REPLACED, _TRIGGERED):
            total += event["amount"] != 0
        elif kind in (_DEPOSITED, _WITHDRAWN):
            total += 1
            continue
        else:
            continue
        total += unlocked[place] != 0
    return total


@inlined
def _write(
    columns: Any, at: int, event: int, leg: int, account: int, asset: int, kind: int, free: int, held: int
) -> None:
    columns[0, at] = event
    columns[1, at] = leg
    columns[2, at] = account
    columns[3, at] = asset
    columns[4, at] = kind
    columns[5, at] = free
    columns[6, at] = held


@inlined
def _write_trade(event: Any, place: int, terms: Integers, columns: Any, at: int) -> int:
    """Returns the place after the last leg."""
    first = at
    instrument, account, amount = event["instrument"], event["account"], event["amount"]
    base, quote = terms[instrument, 0], terms[instrument, 1]
    bought = event["quantity"] * terms[instrument, 2]
    paid = event["quantity"] * event["price"] * terms[instrument, 3]
    buyer, seller = account, event["other_account"]
    if event["side"] != _BUY:
        buyer, seller = seller, buyer
    _write(columns, at, place, 0, buyer, quote, _DEBIT, 0, -paid)
    at += 1
    if amount != 0:
        _write(columns, at, place, at - first, buyer, quote, _RELEASE, amount, -amount)
        at += 1
    _write(columns, at, place, at - first, buyer, base, _CREDIT, bought, 0)
    at += 1
    if event["buyer_fee"] != 0:
        _write(columns, at, place, at - first, buyer, base, _FEE, -event["buyer_fee"], 0)
        at += 1
    _write(columns, at, place, at - first, seller, base, _DEBIT, 0, -bought)
    at += 1
    _write(columns, at, place, at - first, seller, quote, _CREDIT, paid, 0)
    at += 1
    if event["seller_fee"] != 0:
        _write(columns, at, place, at - first, seller, quote, _FEE, -event["seller_fee"], 0)
        at += 1
    if event["buyer_fee"] != 0:
        _write(columns, at, place, at - first, _HOUSE, base, _FEE, event["buyer_fee"], 0)
        at += 1
    if event["seller_fee"] != 0:
        _write(columns, at, place, at - first, _HOUSE, quote, _FEE, event["seller_fee"], 0)
        at += 1
    return at


@_compiled
def _write_legs(events: Records, unlocked: Integers, terms: Integers, columns: Any) -> None:
    """Writes the legs, in the order of the fields of `Legs`."""
    at = 0
    for place in range(len(events)):
        event = events[place]
        kind = event["kind"]
        account = event["account"]
        amount = event["amount"]
        first = at
        if kind == _TRADE:
            at = _write_trade(event, place, terms, columns, at)
        elif kind in (_ACCEPTED, _CANCELLED, _REPLACED, _TRIGGERED):
            side = 1 if event["side"] == _BUY else 0  # a buy order locks the quote asset
            asset = terms[event["instrument"], side]
            locked = -amount if kind == _CANCELLED else amount
            if locked != 0:
                _write(columns, at, place, 0, account, asset, _LOCK if locked > 0 else _UNLOCK, -locked, locked)
                at += 1
        elif kind == _DEPOSITED:
            _write(columns, at, place, 0, account, event["instrument"], _DEPOSIT, amount, 0)
            at += 1
            continue
        elif kind == _WITHDRAWN:
            _write(columns, at, place, 0, account, event["instrument"], _WITHDRAWAL, -amount, 0)
            at += 1
            continue
        else:
            continue
        if unlocked[place] != 0:
            # The event's account is also the taker's: a command only cancels orders of its own account (self-trade
            # prevention).
            left = unlocked[place]
            _write(columns, at, place, at - first, account, terms[event["instrument"], 1], _UNLOCK, left, -left)
            at += 1
