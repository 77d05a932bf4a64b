"""Attacks are run against real processes, started as in the system tests."""

from tests.system.conftest import empty_store, start

__all__ = ["empty_store", "start"]
