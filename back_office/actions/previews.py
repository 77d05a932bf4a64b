"""What an action will do, in sentences, judged by what settlement has stored. The engine decides when it gets it."""

from collections.abc import Callable
from typing import Any

from back_office.actions.kinds import TABLE, Kind
from back_office.actions.parameters import Parameters, order_of
from back_office.formats import ReferenceData
from matching.core.codes import name_of
from matching.core.registry import Instrument
from settlement.stores.base import Order, Store

LOOKED_AT = 500
"""Newest orders of an account that are searched for open ones."""

_OPEN = ("open", "waiting")
_OF_STATUS = {
    "halted": "Nobody can place or cancel orders in it; open orders stay.",
    "cancel_only": "Open orders stay and can be cancelled; nobody can place new ones.",
    "trading": "Orders are taken again.",
}
_OF_ACCOUNT = {
    "no_trading": "It can place no orders; what it has in the book stays and trades; it can withdraw.",
    "frozen": "It can place no orders and withdraw nothing; what it has in the book stays and trades.",
    "active": "It can trade and withdraw again.",
}


def preview(kind: Kind, parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    """Sentences. `parameters` as `parameters.read` gives them. Raises StoreError."""
    return _PREVIEWS[kind](parameters, store, reference)


def _cancel_order(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    order = order_of(int(parameters["order_id"]), store)
    quantity = reference.quantity(order.symbol, order.remaining or 0).text
    lines = [
        f"Cancel order {order.order_id} of account {order.account} in {order.symbol}: {order.side}, {quantity} left."
    ]
    if order.status not in _OPEN:
        lines.append(f"It is not open any more ({order.status}): the engine will refuse this.")
    status = _status(order.symbol, reference)
    if status == "halted":
        lines.append(f"{order.symbol} is halted: the engine cancels nothing there and will refuse this.")
    return lines


def _cancel_all(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    account, symbol = int(parameters["account"]), _text(parameters, "symbol")
    found: list[Order] = store.get_orders_by_account(account, LOOKED_AT, symbol=symbol)
    count = sum(order.status in _OPEN for order in found)
    where = f"in {symbol}" if symbol else "in all instruments that are not halted"
    more = f" among its newest {LOOKED_AT} orders" if len(found) == LOOKED_AT else ""
    return [f"Cancel all open orders of account {account} {where}: {count}{more} now."]


def _instrument_status(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    symbol, status = str(parameters["symbol"]), str(parameters["status"])
    return [f"{symbol}: {_words(_status(symbol, reference))} → {_words(status)}.", _OF_STATUS[status]]


def _instrument_values(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    instrument = reference.registry().instrument_by_symbol[str(parameters["symbol"])]
    changes = [
        f"{field.label}: {_value(instrument, field.name)} → {parameters[field.name]}."
        for field in TABLE[Kind.INSTRUMENT_VALUES].fields[1:]
        if field.name in parameters
    ]
    return [f"Change {instrument.symbol}. Open orders stay as they are.", *changes]


def _account_status(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    account, status = int(parameters["account"]), str(parameters["status"])
    known = [one.status for one in store.account_settings_of(account) if one.status]
    now = known[0] if known else "active"
    return [f"Account {account}: {_words(now)} → {_words(status)}.", _OF_ACCOUNT[status]]


def _account_fees(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    account, symbol = int(parameters["account"]), _text(parameters, "symbol")
    where = symbol or "all instruments"
    own = [
        one for one in store.account_settings_of(account) if one.maker_fee is not None and one.symbol == (symbol or "")
    ]
    now = f"maker {own[0].maker_fee}, taker {own[0].taker_fee} ppm" if own else "no fees of its own"
    if "maker_fee" in parameters:
        new = f"maker {parameters['maker_fee']}, taker {parameters['taker_fee']} ppm"
    else:
        new = "no fees of its own"
    return [f"Account {account} in {where}: {now} → {new}. They apply to trades from then on."]


def _new_asset(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    decimals = int(parameters["decimals"])
    lines = [
        f"Add the asset {parameters['symbol']} with {decimals} decimal places. It cannot be changed or removed.",
        f"At most {(1 << 62) // 10**decimals} whole units of it can exist.",
    ]
    if str(parameters["symbol"]) in reference.registry().asset_by_symbol:
        lines.append("There is such an asset already: the engine will refuse this.")
    return lines


def _new_instrument(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    lines = [
        f"Add {parameters['symbol']}, {parameters['base']} for {parameters['quote']}. It trades at once.",
        *(
            f"{field.label}: {parameters[field.name]}."
            for field in TABLE[Kind.NEW_INSTRUMENT].fields[3:]
            if field.name in parameters
        ),
        "Tick and lot size can never be changed.",
    ]
    if str(parameters["symbol"]) in reference.registry().instrument_by_symbol:
        lines.append("There is such an instrument already: the engine will refuse this.")
    return lines


def _deposit(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    return _money("credit", parameters, store, reference)


def _withdraw(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    return _money("debit", parameters, store, reference)


def _correct(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    return ["A correction.", *_money(str(parameters["direction"]), parameters, store, reference)]


def _money(direction: str, parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    account, symbol = int(parameters["account"]), str(parameters["asset"])
    unit = reference.registry().asset_by_symbol[symbol].unit
    amount = unit.count(str(parameters["amount"]))
    balances = [one for one in store.balances_of(account) if one.asset == symbol]
    available = balances[0].available if balances else 0
    after = available + (amount if direction == "credit" else -amount)
    verb, to = ("Credit", "to") if direction == "credit" else ("Debit", "from")
    lines = [f"{verb} {unit.text(amount)} {symbol} {to} account {account}, reference {parameters['reference']}."]
    if after < 0:
        lines.append(
            f"Available now: {unit.text(available)} {symbol}. That is too little: the engine will refuse this."
        )
    else:
        lines.append(f"Available: {unit.text(available)} → {unit.text(after)} {symbol}, if nothing else changes it.")
    if not balances:
        lines.append(f"Account {account} has no balance in {symbol} yet: check the number.")
    return lines


def _promote_engine(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    address, newest = str(parameters["address"]), max(store.epochs(), default=None)
    lines = [f"Promote the engine at {address}: it leads from then on, in a new epoch."]
    if newest is None:
        lines.append("No engine has begun an epoch in this store: check that followers are used here.")
    elif newest.commands == address:
        lines.append(f"It leads already, since block {newest.first_block}: the engine will refuse this.")
    else:
        lines.append(
            f"{newest.commands} has led since block {newest.first_block}, in epoch {newest.number}. Blocks that it "
            "makes afterwards are refused."
        )
    if parameters["promotion"] == "forced":
        lines.append("Forced: blocks that this follower has not received are lost, with their orders and trades.")
    return lines


def _rebuild_projections(parameters: Parameters, store: Store, reference: ReferenceData) -> list[str]:
    first, last = parameters["from_block"], store.appended().block_number
    return [
        f"Drop trades, orders, ledger entries, balances and candles of block {first} and later, and project blocks "
        f"{first} to {last} again.",
        "Until it is done, pages and the gateway's history show less than there is. Trading goes on.",
        "While rows are dropped, settlement stores no blocks: engines keep them, up to ENGINE_RING_BLOCKS.",
    ]


def _text(parameters: Parameters, name: str) -> str | None:
    return str(parameters[name]) if name in parameters else None


def _status(symbol: str, reference: ReferenceData) -> str:
    registry = reference.registry()
    return name_of(registry.statuses[registry.instrument_by_symbol[symbol].id])


def _words(status: str) -> str:
    return status.replace("_", " ")


def _value(instrument: Instrument, name: str) -> Any:
    value = getattr(instrument, name)
    if name.endswith("_quantity"):
        return instrument.lot.text(value)
    return instrument.quote.unit.text(value) if name == "min_notional" else value


_Preview = Callable[[Parameters, Store, ReferenceData], list[str]]

_PREVIEWS: dict[Kind, _Preview] = {
    Kind.CANCEL_ORDER: _cancel_order,
    Kind.CANCEL_ALL: _cancel_all,
    Kind.INSTRUMENT_STATUS: _instrument_status,
    Kind.INSTRUMENT_VALUES: _instrument_values,
    Kind.ACCOUNT_STATUS: _account_status,
    Kind.ACCOUNT_FEES: _account_fees,
    Kind.NEW_ASSET: _new_asset,
    Kind.NEW_INSTRUMENT: _new_instrument,
    Kind.DEPOSIT: _deposit,
    Kind.WITHDRAW: _withdraw,
    Kind.CORRECT: _correct,
    Kind.PROMOTE_ENGINE: _promote_engine,
    Kind.REBUILD_PROJECTIONS: _rebuild_projections,
}
