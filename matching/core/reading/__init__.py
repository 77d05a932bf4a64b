"""Reads the engine's state and records as named tuples and dictionaries."""
