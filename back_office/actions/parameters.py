"""Reads the parameters of an action from a form, and makes the engine's command from them.

Parameters are a dict with the names of `kinds.Field`: whole numbers as int, all else as text. Fields that were left
empty are not in it. What the engine's clients refuse is refused here, by the same code.
"""

import re
from collections.abc import Callable
from typing import Any

from back_office import filters
from back_office.actions import answers
from back_office.actions.kinds import TABLE, Field, Form, Kind
from back_office.filters import BadFilter, Query
from back_office.formats import ReferenceData
from matching.client.edge import Edge, Refusal
from matching.core.errors import BadDefinition
from matching.core.registry import Registry
from settlement.stores.base import Order, Store

Parameters = dict[str, str | int]

MAX_REFERENCE = 64

_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{1,18})?", re.ASCII)
_ADDRESS = re.compile(r"tcp://[^\s/:]+:[0-9]{1,5}|tcp://\[[0-9a-fA-F:]+\]:[0-9]{1,5}|ipc://\S+", re.ASCII)
_PRINTABLE = re.compile(r"[ -~]+", re.ASCII)
_DEFINITIONS: dict[Kind, Callable[[Registry, dict[str, Any]], object]] = {
    Kind.NEW_ASSET: Registry.asset_from,
    Kind.NEW_INSTRUMENT: Registry.instrument_from,
}


def read(kind: Kind, form: Query, store: Store, reference: ReferenceData) -> Parameters:
    """Raises BadFilter, whose text is one sentence about the first invalid field. Raises StoreError."""
    found: Parameters = {}
    for field in TABLE[kind].fields:
        value = _value(field, form)
        if value is not None:
            found[field.name] = value
        elif field.is_required:
            raise BadFilter(f"{field.label} is missing.")
    if kind == Kind.CANCEL_ORDER:
        order = order_of(int(found["order_id"]), store)
        found |= {"account": order.account, "symbol": order.symbol}
    if kind == Kind.ACCOUNT_FEES and len({"maker_fee", "taker_fee"} & set(found)) == 1:
        raise BadFilter("Give both fees, or neither of them to take the account's own fees away.")
    if kind == Kind.INSTRUMENT_VALUES and len(found) == 1:
        raise BadFilter("Give at least one new value.")
    if kind == Kind.REBUILD_PROJECTIONS:
        found.setdefault("from_block", 1)
        last = store.appended().block_number
        if not 1 <= int(found["from_block"]) <= last:
            raise BadFilter(f"From block must be 1 to {last}, the last block that is stored.")
        return found
    if kind == Kind.PROMOTE_ENGINE:
        if not _ADDRESS.fullmatch(str(found["address"])):
            raise BadFilter("Command address must have the form tcp://HOST:PORT or ipc://FILE.")
        return found
    _refuse_what_clients_refuse(kind, found, reference)
    return found


def order_of(order_id: int, store: Store) -> Order:
    """Raises BadFilter, StoreError."""
    order = next(iter(store.get_orders([order_id])), None)
    if order is None:
        raise BadFilter(f"There is no order {order_id}: no settled order has this command sequence.")
    return order


def command(kind: Kind, parameters: Parameters, name: str) -> dict[str, Any]:
    """The engine's command. `name`: of this request, 1 to 36 characters; cancels carry it into their block."""
    if kind == Kind.CORRECT:
        given = {key: value for key, value in parameters.items() if key != "direction"}
        return {"command": "deposit" if parameters["direction"] == "credit" else "withdraw", **given}
    if kind == Kind.CANCEL_ORDER:
        return {"command": "cancel", **parameters, "request_id": name}
    return {"command": _COMMANDS.get(kind, str(kind)), **parameters}


_COMMANDS = {Kind.INSTRUMENT_VALUES: "instrument_update", Kind.NEW_ASSET: "asset", Kind.NEW_INSTRUMENT: "instrument"}


def _value(field: Field, form: Query) -> str | int | None:
    """None if it was left empty. Raises BadFilter."""
    if field.form == Form.WHOLE:
        return filters.whole_number(form, field.name, field.label)
    if field.form == Form.SYMBOL:
        return filters.symbol(form, field.name, field.label)
    value = filters.text(form, field.name)
    if not value:
        return None
    if field.form == Form.CHOICE:
        if value not in dict(field.choices):
            raise BadFilter(f"{field.label} must be one of the list.")
    elif field.form == Form.DECIMAL:
        if not _DECIMAL.fullmatch(value):
            raise BadFilter(f"{field.label} must be a decimal such as 12.50.")
    elif len(value) > MAX_REFERENCE or not _PRINTABLE.fullmatch(value):
        raise BadFilter(f"{field.label} must be 1 to {MAX_REFERENCE} characters of printable ASCII.")
    return value


def _refuse_what_clients_refuse(kind: Kind, parameters: Parameters, reference: ReferenceData) -> None:
    """Raises BadFilter."""
    reference.invalidate()  # what was added a moment ago may be missing in the cache
    registry, wanted = reference.registry(), command(kind, parameters, "preview")
    refusal = Edge(registry).encode(wanted)
    if not isinstance(refusal, Refusal):
        return
    if kind in _DEFINITIONS:
        try:
            _DEFINITIONS[kind](registry, wanted)
        except BadDefinition as error:
            raise BadFilter(str(error)) from error
        except KeyError as error:
            raise BadFilter(f"There is no asset {error.args[0]}.") from error
    raise BadFilter(answers.reason(refusal.reason))
