"""The events of the streams as JSON objects. Times are in units of `unit_ns` nanoseconds."""

from collections.abc import Iterable

from gateway.market.figures import average_price_text, percent_text
from gateway.model.instruments import Instrument
from gateway.model.intervals import Interval
from gateway.model.records import AggregateTrade, BookTicker, Candle, Depth, Level, Ticker, Trade
from gateway.model.windows import DepthUpdate
from matching.core.codes import Side

Event = dict[str, object]


def trade(instrument: Instrument, one: Trade, unit_ns: int) -> Event:
    time = one.time_ns // unit_ns
    return {
        "e": "trade",
        "E": time,
        "s": instrument.symbol,
        "t": one.trade_number,
        "p": instrument.price_text(one.price),
        "q": instrument.quantity_text(one.quantity),
        "T": time,
        "m": one.taker_side is Side.SELL,
        "M": True,
    }


def aggregate_trade(instrument: Instrument, one: AggregateTrade, unit_ns: int) -> Event:
    time = one.time_ns // unit_ns
    return {
        "e": "aggTrade",
        "E": time,
        "s": instrument.symbol,
        "a": one.id,
        "p": instrument.price_text(one.price),
        "q": instrument.quantity_text(one.quantity),
        "f": one.first_trade_number,
        "l": one.last_trade_number,
        "T": time,
        "m": one.taker_side is Side.SELL,
        "M": True,
    }


def depth_update(instrument: Instrument, update: DepthUpdate, unit_ns: int) -> Event:
    return {
        "e": "depthUpdate",
        "E": update.time_ns // unit_ns,
        "s": instrument.symbol,
        "U": update.first_id,
        "u": update.last_id,
        "b": levels(instrument, update.bids),
        "a": levels(instrument, update.asks),
    }


def partial_depth(instrument: Instrument, depth: Depth) -> Event:
    return {
        "lastUpdateId": depth.last_update_id,
        "bids": levels(instrument, depth.bids),
        "asks": levels(instrument, depth.asks),
    }


def levels(instrument: Instrument, rows: Iterable[Level]) -> list[list[str]]:
    return [[instrument.price_text(row.price), instrument.quantity_text(row.quantity)] for row in rows]


def book_ticker(instrument: Instrument, book: BookTicker) -> Event:
    return {
        "u": book.update_id,
        "s": instrument.symbol,
        "b": instrument.price_text(book.bid_price),
        "B": instrument.quantity_text(book.bid_quantity),
        "a": instrument.price_text(book.ask_price),
        "A": instrument.quantity_text(book.ask_quantity),
    }


def kline(
    instrument: Instrument, interval: Interval, candle: Candle, *, is_closed: bool, now_ns: int, unit_ns: int
) -> Event:
    return {
        "e": "kline",
        "E": now_ns // unit_ns,
        "s": instrument.symbol,
        "k": {
            "t": candle.open_time_ns // unit_ns,
            "T": candle.close_time_ns // unit_ns,
            "s": instrument.symbol,
            "i": interval.value,
            "f": candle.first_trade_number,
            "L": candle.last_trade_number,
            "o": instrument.price_text(candle.open),
            "c": instrument.price_text(candle.close),
            "h": instrument.price_text(candle.high),
            "l": instrument.price_text(candle.low),
            "v": instrument.quantity_text(candle.volume),
            "n": candle.trade_count,
            "x": is_closed,
            "q": instrument.quote_text(candle.quote_volume),
            "V": instrument.quantity_text(candle.taker_buy_volume),
            "Q": instrument.quote_text(candle.taker_buy_quote_volume),
            "B": "0",
        },
    }


def mini_ticker(instrument: Instrument, ticker: Ticker, now_ns: int, unit_ns: int) -> Event:
    return {
        "e": "24hrMiniTicker",
        "E": now_ns // unit_ns,
        "s": instrument.symbol,
        "c": instrument.price_text(ticker.last),
        "o": instrument.price_text(ticker.open),
        "h": instrument.price_text(ticker.high),
        "l": instrument.price_text(ticker.low),
        "v": instrument.quantity_text(ticker.volume),
        "q": instrument.quote_text(ticker.quote_volume),
    }


def ticker(instrument: Instrument, one: Ticker, book: BookTicker, now_ns: int, unit_ns: int) -> Event:
    change = one.last - one.open
    return {
        "e": "24hrTicker",
        "E": now_ns // unit_ns,
        "s": instrument.symbol,
        "p": instrument.price_text(change),
        "P": percent_text(change, one.open),
        "w": average_price_text(instrument, one.volume, one.quote_volume, one.last),
        "x": instrument.price_text(one.previous_close),
        "c": instrument.price_text(one.last),
        "Q": instrument.quantity_text(one.last_quantity),
        "b": instrument.price_text(book.bid_price),
        "B": instrument.quantity_text(book.bid_quantity),
        "a": instrument.price_text(book.ask_price),
        "A": instrument.quantity_text(book.ask_quantity),
        "o": instrument.price_text(one.open),
        "h": instrument.price_text(one.high),
        "l": instrument.price_text(one.low),
        "v": instrument.quantity_text(one.volume),
        "q": instrument.quote_text(one.quote_volume),
        "O": one.open_time_ns // unit_ns,
        "C": one.close_time_ns // unit_ns,
        "F": one.first_trade_number,
        "L": one.last_trade_number,
        "n": one.trade_count,
    }


def average_price(instrument: Instrument, one: Ticker, last_trade_ns: int, now_ns: int, unit_ns: int) -> Event:
    return {
        "e": "avgPrice",
        "E": now_ns // unit_ns,
        "s": instrument.symbol,
        "i": "5m",
        "w": average_price_text(instrument, one.volume, one.quote_volume, one.last),
        "T": last_trade_ns // unit_ns,
    }
