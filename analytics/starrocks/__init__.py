"""Loads rows into StarRocks, by its HTTP interface."""
