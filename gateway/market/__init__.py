"""Public market data over REST: instruments, books, trades, candles and tickers."""
