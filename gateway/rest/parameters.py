"""The parameters of a request, and how their values are read.

Values are texts: those of a query string or a form as decoded, those of a JSON request as a query string would have
them. Each reader raises `ApiError` with the code for what is wrong, naming the parameter.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import overload

from gateway.rest import errors

INTEGER = r"^[0-9]{1,20}$"
DECIMAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
NAME = r"^[a-zA-Z0-9-_]{1,36}$"
SYMBOL = r"^[A-Z0-9-_.]{1,64}$"

_MAX_INTEGER = (1 << 63) - 1
_BOOLEANS = {"true": True, "false": False}


@cache
def _compiled(legal: str) -> re.Pattern[str]:
    return re.compile(legal, re.ASCII)


class Parameters:
    """The parameters of one request, by name. An empty value is refused with -1105 when it is read."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def optional_text(self, name: str, legal: str | None = None) -> str | None:
        """None if it was not sent. `legal` is a regular expression that the value has to match."""
        value = self._values.get(name)
        if value is None:
            return None
        if not value:
            raise errors.empty(name)
        if legal is not None and _compiled(legal).fullmatch(value) is None:
            raise errors.illegal_characters(name, legal)
        return value

    def text(self, name: str, legal: str | None = None) -> str:
        value = self.optional_text(name, legal)
        if value is None:
            raise errors.missing(name)
        return value

    @overload
    def optional_integer(self, name: str) -> int | None: ...
    @overload
    def optional_integer(self, name: str, default: int) -> int: ...
    def optional_integer(self, name: str, default: int | None = None) -> int | None:
        """From 0 to 2^63 - 1."""
        value = self.optional_text(name, INTEGER)
        if value is None:
            return default
        number = int(value)
        if number > _MAX_INTEGER:
            raise errors.invalid(name)
        return number

    def integer(self, name: str) -> int:
        number = self.optional_integer(name)
        if number is None:
            raise errors.missing(name)
        return number

    def optional_decimal(self, name: str) -> str | None:
        """A decimal number without a sign or an exponent, as it was sent."""
        return self.optional_text(name, DECIMAL)

    def decimal(self, name: str) -> str:
        return self.text(name, DECIMAL)

    def boolean(self, name: str, default: bool) -> bool:
        value = self.optional_text(name)
        if value is None:
            return default
        found = _BOOLEANS.get(value.lower())
        if found is None:
            raise errors.illegal_characters(name, "^(true|false)$")
        return found

    def texts(self, name: str, legal: str) -> list[str] | None:
        """The texts of a JSON array, such as ["BTCUSD","ETHUSD"]; None if it was not sent."""
        value = self.optional_text(name)
        if value is None:
            return None
        try:
            listed = json.loads(value)
        except (ValueError, RecursionError):
            listed = None
        if not isinstance(listed, list) or not listed:
            raise errors.illegal_characters(name, r'^\["[A-Z0-9-_.]{1,64}"(,"[A-Z0-9-_.]{1,64}"){0,}\]$')
        for one in listed:
            if not isinstance(one, str) or _compiled(legal).fullmatch(one) is None:
                raise errors.illegal_characters(name, legal)
        return listed
