"""Publishes what blocks change: at once, at the end of each window of depth updates, or once in a second."""

from collections.abc import Callable, Sequence
from functools import partial

from gateway.model.intervals import MINUTE_NS, SECOND_NS, Interval
from gateway.model.model import Model
from gateway.model.records import Candle, Level
from gateway.model.state import AppliedBlock
from gateway.model.trades import aggregated
from gateway.model.windows import DepthUpdate
from gateway.streams import events
from gateway.streams.channels import Channel, Channels
from gateway.streams.names import Kind

_AVERAGE_NS = 5 * MINUTE_NS


class Publisher:
    """`time_ns` returns the time of day. Call `tick` once in a second."""

    def __init__(self, model: Model, channels: Channels, time_ns: Callable[[], int]) -> None:
        self._model = model
        self._channels = channels
        self._time_ns = time_ns
        self._traded: set[int] = set()  # instruments since the last tick
        self._quoted: set[int] = set()
        self._slow = SlowDepth()
        self._open_candles: dict[str, int] = {}  # stream → open time of the candle that was sent last
        model.on_block.append(self._on_block)
        model.on_window.append(self._on_window)
        model.on_begin.append(self._on_begin)

    def _on_begin(self) -> None:
        self._traded.clear()
        self._quoted.clear()
        self._slow = SlowDepth()
        self._open_candles.clear()

    # At once

    def _on_block(self, applied: AppliedBlock) -> None:
        publish = self._channels.publish
        for identity, trades in applied.trades.items():
            instrument = self._model.instrument(identity)
            for channel in self._channels.of(Kind.TRADE, instrument.symbol):
                for trade in trades:
                    publish(channel, partial(events.trade, instrument, trade))
            for channel in self._channels.of(Kind.AGGREGATE, instrument.symbol):
                for aggregate in aggregated(trades):
                    publish(channel, partial(events.aggregate_trade, instrument, aggregate))
        for identity in applied.best_changed:
            instrument = self._model.instrument(identity)
            for channel in self._channels.of(Kind.BOOK_TICKER, instrument.symbol):
                self._publish_event(channel, events.book_ticker(instrument, self._model.book_ticker(identity)))
        self._traded.update(applied.trades)
        self._quoted.update(applied.best_changed)

    # At the end of a window

    def _on_window(self, updates: Sequence[DepthUpdate]) -> None:
        for update in updates:
            instrument = self._model.instrument(update.instrument)
            for channel in self._channels.of(Kind.DEPTH, instrument.symbol):
                self._channels.publish(channel, partial(events.depth_update, instrument, update))
            for channel in self._channels.of(Kind.PARTIAL, instrument.symbol):
                self._publish_partial(channel, update.instrument)
            ended = self._slow.add(update)
            if ended is not None:
                self._publish_slow(ended)

    def _publish_slow(self, update: DepthUpdate) -> None:
        instrument = self._model.instrument(update.instrument)
        for channel in self._channels.of(Kind.SLOW_DEPTH, instrument.symbol):
            self._channels.publish(channel, partial(events.depth_update, instrument, update))
        for channel in self._channels.of(Kind.SLOW_PARTIAL, instrument.symbol):
            self._publish_partial(channel, update.instrument)

    def _publish_partial(self, channel: Channel, identity: int) -> None:
        instrument = self._model.instrument(identity)
        depth = self._model.depth(identity, channel.stream.levels)
        self._publish_event(channel, events.partial_depth(instrument, depth))

    def _publish_event(self, channel: Channel, event: events.Event) -> None:
        """Publishes an event without times that replaces the one before."""
        self._channels.publish_newest(channel, lambda unit_ns: event)

    # Once in a second

    def tick(self) -> None:
        now_ns = self._time_ns()
        traded, self._traded = self._traded, set()
        changed, self._quoted = traded | self._quoted, set()
        for update in self._slow.ended_before(now_ns):
            self._publish_slow(update)
        for channel in self._channels.of_kind(Kind.KLINE):
            self._publish_candles(channel, traded, now_ns)
        for identity in sorted(changed):
            self._publish_tickers(identity, identity in traded, now_ns)
        self._publish_all_tickers(sorted(changed), now_ns)

    def _publish_tickers(self, identity: int, is_traded: bool, now_ns: int) -> None:
        model, instrument = self._model, self._model.instrument(identity)
        for channel in self._channels.of(Kind.TICKER, instrument.symbol):
            ticker, book = model.ticker_24h(identity), model.book_ticker(identity)
            self._channels.publish(channel, partial(events.ticker, instrument, ticker, book, now_ns))
        if not is_traded:
            return
        for channel in self._channels.of(Kind.MINI_TICKER, instrument.symbol):
            ticker = model.ticker_24h(identity)
            self._channels.publish(channel, partial(events.mini_ticker, instrument, ticker, now_ns))
        for channel in self._channels.of(Kind.AVERAGE, instrument.symbol):
            window = model.ticker(identity, start_ns=now_ns - _AVERAGE_NS, end_ns=now_ns)
            last_ns = model.trades(identity, limit=1)[-1].time_ns
            self._channels.publish(channel, partial(events.average_price, instrument, window, last_ns, now_ns))

    def _publish_all_tickers(self, changed: Sequence[int], now_ns: int) -> None:
        if not changed:
            return
        for channel in self._channels.of(Kind.ALL_MINI_TICKERS):
            self._channels.publish(channel, partial(self._mini_tickers, changed, now_ns))
        for channel in self._channels.of(Kind.ALL_TICKERS):
            self._channels.publish(channel, partial(self._tickers, changed, now_ns))

    def _mini_tickers(self, instruments: Sequence[int], now_ns: int, unit_ns: int) -> list[events.Event]:
        model = self._model
        return [
            events.mini_ticker(model.instrument(one), model.ticker_24h(one), now_ns, unit_ns) for one in instruments
        ]

    def _tickers(self, instruments: Sequence[int], now_ns: int, unit_ns: int) -> list[events.Event]:
        model = self._model
        return [
            events.ticker(model.instrument(one), model.ticker_24h(one), model.book_ticker(one), now_ns, unit_ns)
            for one in instruments
        ]

    def _publish_candles(self, channel: Channel, traded: set[int], now_ns: int) -> None:
        """The candle that has ended since the last tick, then the open one if it is new or has changed."""
        stream = channel.stream
        instrument = self._model.instrument_named(stream.symbol)
        if instrument is None or stream.interval is None:
            return
        found = self._model.candles(instrument.id, stream.interval, limit=2)
        if not found:
            return
        before, current = self._open_candles.get(stream.name), found[-1]
        if before is not None and before != current.open_time_ns:
            for candle in found[:-1]:
                self._publish_candle(channel, instrument.id, stream.interval, candle, now_ns, is_closed=True)
        if before != current.open_time_ns or instrument.id in traded:
            self._publish_candle(channel, instrument.id, stream.interval, current, now_ns, is_closed=False)
        self._open_candles[stream.name] = current.open_time_ns

    def _publish_candle(
        self, channel: Channel, identity: int, interval: Interval, candle: Candle, now_ns: int, *, is_closed: bool
    ) -> None:
        instrument = self._model.instrument(identity)

        def build(unit_ns: int) -> events.Event:
            return events.kline(instrument, interval, candle, is_closed=is_closed, now_ns=now_ns, unit_ns=unit_ns)

        self._channels.publish(channel, build)


class SlowDepth:
    """Joins the depth updates of a second of block time into one for each instrument."""

    def __init__(self) -> None:
        self._joined: dict[int, _Joined] = {}

    def add(self, update: DepthUpdate) -> DepthUpdate | None:
        """Adds an update; returns that of the second before, if this is the first one of another second."""
        joined = self._joined.get(update.instrument)
        if joined is not None and joined.second == update.time_ns // SECOND_NS:
            joined.add(update)
            return None
        self._joined[update.instrument] = _Joined(update)
        return joined.update() if joined is not None else None

    def ended_before(self, now_ns: int) -> list[DepthUpdate]:
        """Takes out the updates whose second has ended by the time of day."""
        ended = [one for one, joined in self._joined.items() if joined.second < now_ns // SECOND_NS]
        return [self._joined.pop(one).update() for one in ended]


class _Joined:
    def __init__(self, update: DepthUpdate) -> None:
        self.second = update.time_ns // SECOND_NS
        self._first = update
        self._last = update
        self._bids = dict(update.bids)
        self._asks = dict(update.asks)

    def add(self, update: DepthUpdate) -> None:
        self._last = update
        self._bids.update(update.bids)
        self._asks.update(update.asks)

    def update(self) -> DepthUpdate:
        first, last = self._first, self._last
        sides = ([Level(*row) for row in sorted(side.items())] for side in (self._bids, self._asks))
        return DepthUpdate(first.instrument, first.first_id, last.last_id, last.time_ns, *sides)
