"""Parses the commands of a JSON Lines file. Everything that reads commands uses this parser."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import NoReturn

NOT_JSON = object()
"""Placeholder for a line that is not JSON; the edge rejects it as malformed."""

_MAX_DIGITS = 100
_WHITE_SPACE = " \t\r\n\v\f"


def numbered_commands(
    lines: Iterable[str], progress: Callable[[], object] = lambda: None
) -> Iterator[tuple[int, object]]:
    """Yields (line number from 1, JSON value or NOT_JSON) without blank lines. Calls `progress` for every line."""
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
    """Python does not parse integers of thousands of digits: they become inf, which the edge rejects."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float("inf")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_int=_whole_number, parse_constant=_refuse)
