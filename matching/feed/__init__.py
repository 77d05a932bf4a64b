"""Reads the block stream of engines."""
