"""The reference edge: converts a parsed JSON value to a command, or refuses it before it takes a sequence number.

Fields are checked one by one, in the order of docs/semantics.md, section 4; the first invalid one gives the reason.
An optional field that is null counts as not given, because events write null for a missing value. Fields that a command
does not know are ignored.
"""

import json
from collections.abc import Callable
from typing import NoReturn

from tests.reference import edge_of_definitions, edge_of_orders
from tests.reference.commands import Asset, Command, Instrument
from tests.reference.fields import Fields, Refused

__all__ = ["NOT_JSON", "Edge", "Refused", "command_name", "parse_line"]

NOT_JSON = (
    "this line is no JSON"  # represents an invalid line; refused as malformed, as any value that is not an object
)

_LONGEST_JSON_INTEGER = 100

_READERS: dict[str, Callable[[Fields], Command]] = {
    "asset": edge_of_definitions.read_asset,
    "instrument": edge_of_definitions.read_instrument,
    "instrument_status": edge_of_definitions.read_status,
    "instrument_update": edge_of_definitions.read_update,
    "account_status": edge_of_definitions.read_account_status,
    "account_fees": edge_of_definitions.read_account_fees,
    "deposit": edge_of_definitions.read_deposit,
    "withdraw": edge_of_definitions.read_withdraw,
    "order": edge_of_orders.read_order,
    "oco": edge_of_orders.read_oco,
    "cancel": edge_of_orders.read_cancel,
    "cancel_all": edge_of_orders.read_cancel_all,
    "replace": edge_of_orders.read_replace,
}


def parse_line(text: str) -> object:
    """The JSON value of a line; `NOT_JSON` if it is not JSON (NaN and Infinity are not either)."""
    try:
        value: object = json.loads(text, parse_int=_parse_integer, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return NOT_JSON
    return value


def _parse_integer(digits: str) -> int | float:
    # Python refuses integers of thousands of digits. A float is refused wherever an integer is required.
    return int(digits) if len(digits) <= _LONGEST_JSON_INTEGER else float("inf")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def command_name(value: object) -> str | None:
    """The command's name for a refusal, None for unknown commands."""
    name = value.get("command") if isinstance(value, dict) else None
    return name if isinstance(name, str) and name in _READERS else None


class Edge:
    """Converts commands; knows assets and instruments by symbol, which the engine registers."""

    def __init__(self) -> None:
        self.assets: dict[str, Asset] = {}
        self.instruments: dict[str, Instrument] = {}

    def read(self, value: object) -> Command:
        """Raises `Refused`."""
        name = command_name(value)
        if name is None or not isinstance(value, dict):
            raise Refused("malformed")
        return _READERS[name](Fields(value, self.assets, self.instruments))
