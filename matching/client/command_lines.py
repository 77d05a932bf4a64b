"""Commands out of the lines of a JSON Lines file: one form for everything that reads commands."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

NOT_JSON = object()
"""Stands for a line that is no JSON: the edge finds it malformed."""

_MAX_DIGITS = 100
_WHITE_SPACE = " \t\r\n\v\f"


def numbered_commands(
    lines: Iterable[str], progress: Callable[[], object] = lambda: None
) -> Iterator[tuple[int, object]]:
    """(line number from 1, its JSON value or NOT_JSON), blank lines left out; `progress` is called for each line."""
    for number, line in enumerate(lines, 1):
        progress()
        if line.strip(_WHITE_SPACE):
            yield number, parse(line)


def parse(line: str) -> object:
    """A line's JSON value, or NOT_JSON."""
    try:
        return _DECODER.decode(line)
    except (ValueError, RecursionError):
        return NOT_JSON


def _whole_number(digits: str) -> int | float:
    """Python reads no integer of thousands of digits, though it is JSON; no field takes a float in its place."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float("inf")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_int=_whole_number, parse_constant=_refuse)
