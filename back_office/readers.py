"""What the back office reads from: the store and the engine that the settings name. Nothing is opened before a page
asks, so that a server may fork first."""

from collections.abc import Mapping
from contextlib import closing
from typing import Any, cast

from django.utils.functional import SimpleLazyObject

from back_office.pages.overview import Depth, EngineReader
from matching.client.connection import Connection
from matching.commandline import engine_addresses
from matching.transport import wire
from settlement import wiring
from settlement.stores.base import Store

ENGINE_PATIENCE_S = 0.3
"""A page waits no longer for an engine that is not there."""


def store() -> Store:
    """Opened with the first use."""
    return cast(Store, SimpleLazyObject(_open_store))


def engine() -> EngineReader:
    return Engine()


def _open_store() -> Store:
    opened = wiring.store()
    opened.connect()
    return opened


class Engine:
    """Asks over a connection of its own each time: threads cannot share one, and pages are few."""

    def status(self) -> Mapping[str, Any]:
        with self._connection() as connection:
            return connection.ask(wire.STATUS)

    def depth(self) -> Depth:
        with self._connection() as connection:
            depth: Depth = connection.ask(wire.DEPTH)["depth"]
            return depth

    @staticmethod
    def _connection() -> closing[Connection]:
        return closing(Connection(engine_addresses.addresses(), timeout_s=ENGINE_PATIENCE_S))
