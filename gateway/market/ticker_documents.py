"""Tickers as JSON objects."""

from gateway.market.figures import average_price_text, percent_text
from gateway.model.instruments import Instrument
from gateway.model.records import BookTicker, Ticker
from gateway.rest.route import Request


def mini(instrument: Instrument, ticker: Ticker, request: Request) -> dict[str, object]:
    return {
        "symbol": instrument.symbol,
        "openPrice": instrument.price_text(ticker.open),
        "highPrice": instrument.price_text(ticker.high),
        "lowPrice": instrument.price_text(ticker.low),
        "lastPrice": instrument.price_text(ticker.last),
        "volume": instrument.quantity_text(ticker.volume),
        "quoteVolume": instrument.quote_text(ticker.quote_volume),
        "openTime": request.time(ticker.open_time_ns),
        "closeTime": request.time(ticker.close_time_ns),
        "firstId": ticker.first_trade_number,
        "lastId": ticker.last_trade_number,
        "count": ticker.trade_count,
    }


def full(instrument: Instrument, ticker: Ticker, request: Request) -> dict[str, object]:
    """Of a window of any length."""
    return {**mini(instrument, ticker, request), **_changes(instrument, ticker)}


def of_24_hours(instrument: Instrument, ticker: Ticker, book: BookTicker, request: Request) -> dict[str, object]:
    return {
        **full(instrument, ticker, request),
        "prevClosePrice": instrument.price_text(ticker.previous_close),
        "lastQty": instrument.quantity_text(ticker.last_quantity),
        **best(instrument, book),
    }


def best(instrument: Instrument, book: BookTicker) -> dict[str, object]:
    return {
        "symbol": instrument.symbol,
        "bidPrice": instrument.price_text(book.bid_price),
        "bidQty": instrument.quantity_text(book.bid_quantity),
        "askPrice": instrument.price_text(book.ask_price),
        "askQty": instrument.quantity_text(book.ask_quantity),
    }


def _changes(instrument: Instrument, ticker: Ticker) -> dict[str, object]:
    change = ticker.last - ticker.open
    return {
        "priceChange": instrument.price_text(change),
        "priceChangePercent": percent_text(change, ticker.open),
        "weightedAvgPrice": average_price_text(instrument, ticker.volume, ticker.quote_volume, ticker.last),
    }
