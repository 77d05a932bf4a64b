"""Public data of the instruments: visible symbols, trades, candles and tickers."""

from collections.abc import Iterator, Sequence

import structlog

from gateway.model.candles import NO_TRADE, CandleSeries, Row
from gateway.model.instruments import Instrument
from gateway.model.intervals import MINUTE_NS, SECOND_NS
from gateway.model.records import BookTicker, Level, Ticker, Trade
from gateway.model.replica import Replica
from gateway.model.trades import Tape
from matching.core.codes import InstrumentStatus
from settlement.stores.base import Candle as StoredCandle

log = structlog.get_logger(__name__)


class Instruments:
    """The visible instruments after the newest block. Of two with one API symbol the older one is visible."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._hidden: set[int] = set()
        self.refresh()

    def refresh(self) -> None:
        """Call it after a block that changed reference data."""
        registry = self._replica.registry
        self.by_symbol: dict[str, Instrument] = {}
        self.by_id: dict[int, Instrument] = {}
        for engine, status in zip(registry.instruments, registry.statuses, strict=True):
            symbol = engine.base.symbol + engine.quote.symbol
            instrument = Instrument(symbol, engine, InstrumentStatus(status))
            self.by_id[engine.id] = instrument
            if symbol not in self.by_symbol:
                self.by_symbol[symbol] = instrument
            elif engine.id not in self._hidden:
                self._hidden.add(engine.id)
                log.warning(
                    "gateway.symbol_collides",
                    symbol=symbol,
                    hidden=engine.symbol,
                    visible=self.by_symbol[symbol].engine_symbol,
                )

    def visible(self) -> Iterator[Instrument]:
        return iter(self.by_symbol.values())


class InstrumentMarket:
    """Trades and candles of one instrument."""

    def __init__(self, quote_unit: int, *, kept_trades: int, kept_candles: int) -> None:
        self.tape = Tape(kept_trades)
        self.candles = CandleSeries(quote_unit, kept=kept_candles)
        self._quote_unit = quote_unit
        self._kept_candles = kept_candles
        self.best: tuple[Level, Level] = (Level(0, 0), Level(0, 0))
        self.best_id = 0

    def add(self, trades: Sequence[Trade]) -> None:
        """Adds newer trades."""
        for trade in trades:
            self.tape.add(trade)
            self.candles.add(trade)

    def extend_back(self, minutes: Sequence[StoredCandle], trades: Sequence[Trade]) -> None:
        """Puts what the store has before what is there: trades that end where these begin, and minutes before them.

        The trades of a minute that the store has only in part are left to its whole minute.
        """
        since = self.tape.trades(limit=len(self.tape))
        first_ns = trades[0].time_ns if trades else since[0].time_ns if since else 1 << 63
        is_whole = bool(trades) and trades[0].trade_number == 1
        begin_ns = 0 if is_whole else -(-first_ns // MINUTE_NS) * MINUTE_NS
        made = CandleSeries(self._quote_unit, kept=self._kept_candles)
        within = [trade for trade in (*trades, *since) if trade.time_ns >= begin_ns]
        number = within[0].trade_number if within else self.tape.first_number + len(self.tape)
        older = [minute for minute in minutes if minute.minute_ns < begin_ns]
        number -= sum(minute.trade_count for minute in older)
        for minute in older:
            made.add_minute(Row.of_minute(minute, number, self._quote_unit))
            number += minute.trade_count
        for trade in within:
            made.add(trade)
        self.tape.extend_back(trades)
        self.candles = made

    def set_best(self, best: tuple[Level, Level], sequence: int) -> bool:
        """Whether the best levels have changed."""
        if best == self.best:
            return False
        self.best, self.best_id = best, sequence
        return True

    def book_ticker(self) -> BookTicker:
        bid, ask = self.best
        return BookTicker(self.best_id, bid.price, bid.quantity, ask.price, ask.quantity)

    def ticker(self, start_ns: int, end_ns: int, last_price: int) -> Ticker:
        """From the minute that contains `start_ns` on; to the last second before `end_ns`."""
        start_ns -= start_ns % MINUTE_NS
        row = self._total(start_ns, end_ns)
        before = self.candles.close_before(start_ns)
        previous = before[0] if before else 0
        if row is None:
            price = previous or last_price
            return Ticker(start_ns, end_ns, price, price, price, price, 0, previous, 0, 0, NO_TRADE, NO_TRADE, 0)
        return Ticker(
            start_ns,
            end_ns,
            row.open,
            row.high,
            row.low,
            row.close,
            row.last_quantity,
            previous,
            row.volume,
            row.quote,
            row.first,
            row.last,
            row.count,
        )

    def _total(self, start_ns: int, end_ns: int) -> Row | None:
        whole = end_ns - end_ns % MINUTE_NS
        total = self.candles.summed(1, start_ns, whole)
        rest = self.candles.summed(0, whole, end_ns - end_ns % SECOND_NS + SECOND_NS)
        if total is None or rest is None:
            return total or rest
        total.merge(rest)
        return total
