"""Reads single fields of a JSON command. A field that is null counts as absent.

Each function raises `Refused` with the reason of docs/semantics.md, section 4.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from matching.core.codes import (
    MAX_CLIENT_ORDER_ID_LENGTH,
    AccountStatus,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
    name_of,
)
from matching.core.decimals import INT64_MAX, DoesNotFit, NotPlain, Unit

Command = Mapping[str, Any]
_CODES = (Side, OrderType, TimeInForce, SelfTradePrevention, AccountStatus)


class Refused(Exception):
    def __init__(self, reason: Reason) -> None:
        self.reason = reason


def is_given(command: Command, field: str) -> bool:
    return command.get(field) is not None


def account(command: Command) -> int:
    number = command.get("account")
    if type(number) is not int or not 0 <= number <= INT64_MAX:
        raise Refused(Reason.MALFORMED)
    return number


def choice(command: Command, field: str, codes: type[IntEnum], unknown: Reason, default: IntEnum | None = None) -> int:
    """The code of a name. Without a default the field is required."""
    value = command.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise Refused(Reason.MALFORMED)
    code = _NAMES[codes].get(value)
    if code is None:
        raise Refused(unknown)
    return code


_NAMES: dict[type[IntEnum], dict[str, int]] = {codes: {name_of(code): int(code) for code in codes} for codes in _CODES}


def self_trade_prevention(command: Command) -> int:
    return choice(
        command, "self_trade_prevention", SelfTradePrevention, Reason.MALFORMED, SelfTradePrevention.EXPIRE_TAKER
    )


def flag(command: Command, field: str) -> bool:
    value = command.get(field)
    if value is not None and not isinstance(value, bool):
        raise Refused(Reason.MALFORMED)
    return bool(value)


def text(command: Command, field: str, max_length: int) -> str:
    value = command.get(field)
    if not isinstance(value, str) or not 1 <= len(value) <= max_length or not (value.isascii() and value.isprintable()):
        raise Refused(Reason.MALFORMED)
    return value


def name(command: Command, field: str) -> str:
    """An optional name of 1 to 36 characters, such as a client order id; empty if it is absent."""
    return text(command, field, MAX_CLIENT_ORDER_ID_LENGTH) if is_given(command, field) else ""


def named_order(command: Command) -> tuple[int, str]:
    """(order_id, client_order_id) of a cancel or replace; exactly one of the two is given."""
    by_id, by_client_id = is_given(command, "order_id"), is_given(command, "client_order_id")
    if by_id == by_client_id:
        raise Refused(Reason.MALFORMED)
    if by_client_id:
        return 0, name(command, "client_order_id")
    order_id = command["order_id"]
    if type(order_id) is not int or not 1 <= order_id <= INT64_MAX:
        raise Refused(Reason.MALFORMED)
    return order_id, ""


def units(command: Command, field: str, unit: Unit, wrong: Reason) -> int:
    """The number of units of a decimal string; `wrong` is the reason if it is not a whole number of them."""
    try:
        return unit.count(command.get(field))
    except NotPlain as error:
        raise Refused(Reason.MALFORMED) from error
    except DoesNotFit as error:
        raise Refused(wrong) from error


def units_if(allowed: bool, command: Command, field: str, unit: Unit, wrong: Reason) -> int:
    """Like `units` if the field is allowed, and then required; else 0, and it must be absent."""
    if allowed:
        return units(command, field, unit, wrong)
    if is_given(command, field):
        raise Refused(wrong)
    return 0
