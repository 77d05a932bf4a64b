"""Streams of commands: the demo market, recorded NASDAQ messages, generated load."""
