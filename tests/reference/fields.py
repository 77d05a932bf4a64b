"""Reads the fields of one command: each method checks one field and raises `Refused` with the reason if it is wrong."""

import re
from fractions import Fraction
from typing import Any

from tests.reference import plain_decimal
from tests.reference.commands import Asset, Instrument
from tests.reference.words import SELF_TRADE_MODES

_SYMBOL = re.compile(r"[A-Z0-9._-]{1,32}")


class Refused(Exception):
    """A refusal at the edge: the command takes no sequence number; `reason` is the code of the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Fields:
    """Reads and validates the fields of one command."""

    def __init__(self, values: dict[str, Any], assets: dict[str, Asset], instruments: dict[str, Instrument]) -> None:
        self.values = values
        self.assets = assets
        self.instruments = instruments

    def given(self, name: str) -> bool:
        return self.values.get(name) is not None

    def integer(self, name: str, lowest: int, highest: int) -> int:
        value = self.values.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise Refused("malformed")
        return value

    def text(self, name: str, longest: int) -> str:
        value = self.values.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= longest or not _is_printable_ascii(value):
            raise Refused("malformed")
        return value

    def choice(self, name: str, choices: tuple[str, ...], unknown: str) -> str:
        """One of `choices`. `unknown`: reason for another string; a value of another type is malformed."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise Refused("malformed")
        if value not in choices:
            raise Refused(unknown)
        return value

    def boolean(self, name: str) -> bool:
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise Refused("malformed")
        return value

    def decimal(self, name: str) -> Fraction:
        value = plain_decimal.parse(self.values.get(name))
        if value is None:
            raise Refused("malformed")
        return value

    def steps(self, name: str, step: Fraction, unfit: str) -> int:
        """A decimal as a number of ticks, lots or units; `unfit`: reason if that is not an int64."""
        count = plain_decimal.steps(self.decimal(name), step)
        if count is None:
            raise Refused(unfit)
        return count

    def new_symbol(self) -> str:
        value = self.values.get("symbol")
        if not isinstance(value, str) or not _SYMBOL.fullmatch(value):
            raise Refused("malformed")
        return value

    def account(self) -> int:
        return self.integer("account", 0, plain_decimal.INT64_MAX)

    def asset(self, name: str) -> Asset:
        return self.assets[self.choice(name, tuple(self.assets), "unknown_asset")]

    def instrument(self) -> Instrument:
        return self.instruments[self.choice("symbol", tuple(self.instruments), "unknown_symbol")]

    def optional_id(self, name: str) -> str | None:
        """A client's name of an order, a list of orders or a request."""
        return self.text(name, 36) if self.given(name) else None

    def flag(self, name: str) -> bool:
        return self.boolean(name) if self.given(name) else False

    def self_trade_prevention(self) -> str:
        if not self.given("self_trade_prevention"):
            return "expire_taker"
        return self.choice("self_trade_prevention", SELF_TRADE_MODES, "malformed")

    def order_name(self) -> tuple[int | None, str | None]:
        """(order_id, client_order_id): exactly one of them."""
        if self.given("order_id") == self.given("client_order_id"):
            raise Refused("malformed")
        if self.given("order_id"):
            return self.integer("order_id", 1, plain_decimal.INT64_MAX), None
        return None, self.text("client_order_id", 36)


def _is_printable_ascii(text: str) -> bool:
    return all(" " <= character <= "~" for character in text)
