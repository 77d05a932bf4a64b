"""The overview page: state of the engine, lag of settlement, alarms, prices, newest trades and blocks."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.timezone import now

from back_office import filters, program_states
from back_office.filters import BadFilter
from back_office.formats import Figure, ReferenceData, utc_time
from back_office.pages import requests
from back_office.pages.alarms import RaisedAlarms
from back_office.pages.shared_fragment import SharedFragment
from back_office.rows import BlockRow, TradeRow
from matching.core.codes import name_of
from matching.core.errors import MatchingError
from matching.core.registry import Instrument
from matching.transport.engine_roles import FOLLOWER
from settlement.alarms.rules import Signal
from settlement.stores.base import MAX_VOLUME, Candle, Store

CANDLES = 90
LEVELS = 10
NEWEST_TRADES = 12
NEWEST_BLOCKS = 12
MAX_COUNTED_DEAD_LETTERS = 50
CACHE_S = 3
"""Values that need a row of every instrument are read at most this often, however many browsers are open."""
_MINUTE_NS = 60_000_000_000

Depth = Mapping[str, Mapping[str, Sequence[Sequence[int]]]]
"""{symbol: {"bids": [[price in ticks, lots], …], "asks": …}}, best first."""


class EngineReader(Protocol):
    """Requests to a running engine, with a short timeout. Raises MatchingError, usually EngineUnreachable."""

    def status(self) -> Mapping[str, Any]: ...

    def depth(self) -> Depth: ...


@dataclass(frozen=True, slots=True)
class EngineState:
    """Status of the engine; `unreachable` is the reason if it did not answer, else ""."""

    unreachable: str = ""
    role: str = ""
    block: int = 0
    state_hash: str = ""
    waiting_blocks: int = 0  # in the retransmission ring, not confirmed by settlement
    ring_percent: int = 0  # share of its blocks or of its bytes, whichever is larger
    halted: bool = False
    halt_reason: str = ""

    @property
    def is_follower(self) -> bool:
        """A follower takes no commands, and its status never says that it is halted."""
        return self.role == FOLLOWER

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> "EngineState":
        ring = status["ring"]
        shares = ((ring["unconfirmed_blocks"], ring["max_blocks"]), (ring["unconfirmed_bytes"], ring["max_bytes"]))
        return cls(
            role=status["role"],
            block=status["block"],
            state_hash=status["state_hash"],
            waiting_blocks=ring["unconfirmed_blocks"],
            ring_percent=max(100 * used // limit for used, limit in shares),
            halted=status["halted"],
            halt_reason=status["halted_reason"] or "",
        )


@dataclass(frozen=True, slots=True)
class Settlement:
    appended: int
    projected: int
    hash: int
    epoch: int
    append_lag: int | None  # blocks; None: the engine is not reachable
    projection_lag: int


@dataclass(frozen=True, slots=True)
class Level:
    price: Figure
    quantity: Figure
    percent: int  # of the largest level shown


@dataclass(frozen=True, slots=True)
class Book:
    bids: list[Level] = field(default_factory=list)
    asks: list[Level] = field(default_factory=list)
    spread: Figure | None = None


class TradesPerMinute(NamedTuple):
    """Number of trades of all instruments."""

    last_full: int
    current: int  # so far


LIVE = "back_office/overview_live.html"
SEEN_WITH = (
    "back_office.view_actionrequest",
    "settlement.view_alarm",
    "settlement.view_deadletter",
    "settlement.view_settledtrade",
)
"""The permissions that decide about parts of the overview."""


class OverviewPages:
    def __init__(
        self,
        store: Store,
        engine: EngineReader,
        reference: ReferenceData,
        now_ns: Callable[[], int] = time.time_ns,
        unwritten: Callable[[], Signal | None] = lambda: None,
    ) -> None:
        """`unwritten`: an alarm that is not in the database."""
        self.store = store
        self.engine = engine
        self.reference = reference
        self.now_ns = now_ns
        self.unwritten = unwritten
        self._live = SharedFragment()

    def overview(self, request: HttpRequest) -> TemplateResponse:
        return self._page(request, "back_office/overview.html")

    def live(self, request: HttpRequest) -> HttpResponse:
        """The parts of the overview that change; the open page replaces its own with them.

        Operators with the same permissions share them, because every open page asks for them every 2 s.
        """

        def made() -> bytes:
            return bytes(self._page(request, LIVE).render().content)

        try:
            instrument = self._instrument(filters.symbol(request.GET, "symbol", "Instrument"))
        except BadFilter:
            return self._page(request, LIVE)
        permissions = tuple(request.user.has_perm(one) for one in SEEN_WITH)
        return HttpResponse(self._live.get((instrument and instrument.symbol, permissions), made))

    def _page(self, request: HttpRequest, template: str) -> TemplateResponse:
        context: dict[str, Any] = {"title": "Overview", "instruments": self.reference.registry().instruments}
        try:
            instrument = self._instrument(filters.symbol(request.GET, "symbol", "Instrument"))
        except BadFilter as refusal:
            return TemplateResponse(request, template, {**context, "refusal": str(refusal)}, status=400)
        engine, depth = self._engine()
        context |= {
            "engine": engine,
            "settlement": self._settlement(engine),
            "alarms": RaisedAlarms.read(now(), self.unwritten()),
            "dead_letters": self._dead_letters(),
            "trades_per_minute": cache.get_or_set("trades-per-minute", self._trades_per_minute, CACHE_S),
            "trades": [TradeRow.of(trade, self.reference) for trade in self.store.newest_trades(NEWEST_TRADES)],
            "blocks": [BlockRow.of(block) for block in self.store.newest_blocks(NEWEST_BLOCKS)],
            "waiting_requests": requests.waiting(),
            "programs": program_states.read(settings.PROGRAM_STATES_FILE),
            "time": utc_time(self.now_ns()),
        }
        if instrument is not None:
            context |= self._market(instrument, depth)
        return TemplateResponse(request, template, context)

    def _instrument(self, symbol: str | None) -> Instrument | None:
        """The requested instrument, else the first one; None if there is none. Raises BadFilter."""
        if symbol is None:
            return next(iter(self.reference.registry().instruments), None)
        instrument = self.reference.instrument(symbol)
        if instrument is None:
            raise BadFilter(f"There is no instrument {symbol}.")
        return instrument

    def _engine(self) -> tuple[EngineState, Depth]:
        try:
            return EngineState.of(self.engine.status()), self.engine.depth()
        except MatchingError as error:
            return EngineState(unreachable=str(error)), {}

    def _settlement(self, engine: EngineState) -> Settlement:
        appended, projected = self.store.appended(), self.store.projected()
        return Settlement(
            appended=appended.block_number,
            projected=projected.block_number,
            hash=appended.hash,
            epoch=appended.epoch,
            # The engine was asked first, so settlement may already be ahead of its answer: then the lag is 0.
            append_lag=None if engine.unreachable else max(0, engine.block - appended.block_number),
            projection_lag=max(0, appended.block_number - projected.block_number),
        )

    def _dead_letters(self) -> str:
        """Number of unresolved dead letters; "" if there are none."""
        found = len(self.store.newest_dead_letters(MAX_COUNTED_DEAD_LETTERS, unresolved_only=True))
        return f"{found} or more" if found == MAX_COUNTED_DEAD_LETTERS else str(found or "")

    def _trades_per_minute(self) -> TradesPerMinute:
        current = self.now_ns() // _MINUTE_NS * _MINUTE_NS
        symbols = list(self.reference.registry().instrument_by_symbol)
        candles = self.store.get_candles(
            [(symbol, start) for symbol in symbols for start in (current - _MINUTE_NS, current)]
        )
        full = sum(candle.trade_count for candle in candles if candle.minute_ns < current)
        return TradesPerMinute(full, sum(candle.trade_count for candle in candles) - full)

    def _market(self, instrument: Instrument, depth: Depth) -> dict[str, Any]:
        candles = self.store.candles(instrument.symbol, CANDLES)
        status = self.reference.registry().statuses[instrument.id]
        last = candles[-1] if candles else None
        return {
            "instrument": instrument,
            "instrument_status": name_of(status).replace("_", " "),
            "last_price": last and self.reference.price(instrument.symbol, last.close),
            "rising": last is not None and last.close >= last.open,
            "candles": [_candle(candle, instrument) for candle in candles],
            "book": _book(depth.get(instrument.symbol, {}), instrument),
        }


def _candle(candle: Candle, instrument: Instrument) -> dict[str, str | int]:
    """Decimals as text; only the chart converts them to floats for drawing."""
    return {
        "time": utc_time(candle.minute_ns)[:16],
        "open": instrument.tick.text(candle.open),
        "high": instrument.tick.text(candle.high),
        "low": instrument.tick.text(candle.low),
        "close": instrument.tick.text(candle.close),
        "volume": instrument.lot.text(candle.volume),
        "volume_is_at_least": candle.volume == MAX_VOLUME,
        "trades": candle.trade_count,
    }


def _book(sides: Mapping[str, Sequence[Sequence[int]]], instrument: Instrument) -> Book:
    bids, asks = sides.get("bids", ())[:LEVELS], sides.get("asks", ())[:LEVELS]
    deepest = max((lots for _, lots in (*bids, *asks)), default=1)

    def levels(side: Sequence[Sequence[int]]) -> list[Level]:
        return [
            Level(Figure.of(price, instrument.tick), Figure.of(lots, instrument.lot), 100 * lots // deepest)
            for price, lots in side
        ]

    spread = Figure.of(asks[0][0] - bids[0][0], instrument.tick) if bids and asks else None
    return Book(levels(bids), levels(asks), spread)
