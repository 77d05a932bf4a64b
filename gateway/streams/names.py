"""The names of streams: <symbol>@<kind>, and those of all instruments, which begin with an exclamation mark."""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from gateway.model.intervals import Interval

_KLINE = "kline_"
_INTERVALS = {interval.value: interval for interval in Interval}
_PARTIAL = re.compile(r"depth(5|10|20)(@100ms|@1000ms)?", re.ASCII)
_NAME = re.compile(r"([a-z0-9._-]{1,64})@(.+)", re.ASCII)
_MAX_LENGTH = 128


class Kind(Enum):
    TRADE = "trade"
    AGGREGATE = "aggTrade"
    BOOK_TICKER = "bookTicker"
    TICKER = "ticker"
    MINI_TICKER = "miniTicker"
    AVERAGE = "avgPrice"
    DEPTH = "depth@100ms"
    SLOW_DEPTH = "depth"
    PARTIAL = "depth of some levels, every 100 ms"
    SLOW_PARTIAL = "depth of some levels, every second"
    KLINE = "kline"
    ALL_MINI_TICKERS = "!miniTicker@arr"
    ALL_TICKERS = "!ticker@arr"


@dataclass(frozen=True, slots=True)
class Stream:
    name: str  # as clients write it
    kind: Kind
    symbol: str = ""  # upper case; "": of all instruments
    levels: int = 0  # of a partial depth
    interval: Interval | None = None  # of candles


_ALL = {kind.value: Stream(kind.value, kind) for kind in (Kind.ALL_MINI_TICKERS, Kind.ALL_TICKERS)}
_PLAIN = {
    kind.value: kind
    for kind in (
        Kind.TRADE,
        Kind.AGGREGATE,
        Kind.BOOK_TICKER,
        Kind.TICKER,
        Kind.MINI_TICKER,
        Kind.AVERAGE,
        Kind.DEPTH,
        Kind.SLOW_DEPTH,
    )
} | {"depth@1000ms": Kind.SLOW_DEPTH}


@lru_cache(maxsize=4096)
def stream(name: str) -> Stream | None:
    """None if no stream can have this name. Whether there is such an instrument is another question."""
    if len(name) > _MAX_LENGTH or name in _ALL:
        return _ALL.get(name)
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    symbol, rest = found[1].upper(), found[2]
    if rest in _PLAIN:
        return Stream(name, _PLAIN[rest], symbol)
    if rest.startswith(_KLINE) and (interval := _INTERVALS.get(rest.removeprefix(_KLINE))):
        return Stream(name, Kind.KLINE, symbol, interval=interval)
    if partial := _PARTIAL.fullmatch(rest):
        kind = Kind.PARTIAL if partial[2] == "@100ms" else Kind.SLOW_PARTIAL
        return Stream(name, kind, symbol, levels=int(partial[1]))
    return None
