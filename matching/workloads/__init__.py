"""Command streams: the demo market, recorded NASDAQ messages, generated load."""
