"""The traders' API: Binance Spot's REST API, streams and WebSocket API over the engine."""
