"""Reads states and records of the engine into forms with names and numbers."""
