"""The public page of a market: candles, depth, order book, trades and tickers, live in a browser, without a login."""
