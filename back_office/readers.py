"""Data sources of the back office: the store and the engine named in the settings.

Both are opened on first use, so that a web server can fork first.
"""

from collections.abc import Mapping
from contextlib import closing
from functools import cache
from typing import Any, cast

from django.utils.functional import SimpleLazyObject

from back_office.pages.overview import Depth, EngineReader
from back_office.watch import Watch
from matching.client.connection import Connection
from matching.commandline import engine_addresses
from matching.commandline.own_keys import OBSERVER_KEY, network_of
from matching.transport import wire
from settlement import wiring
from settlement.stores.base import Store

ENGINE_TIMEOUT_S = 0.3
"""How long a page waits for the engine's answer."""


def store() -> Store:
    """Opens the store on first use."""
    return cast(Store, SimpleLazyObject(_open_store))


def engine() -> EngineReader:
    return EngineClient()


@cache
def watch() -> Watch:
    """The process's watch; it sees nothing until somebody runs it (`back_office.watch.running`)."""
    return Watch(EngineClient())


def _open_store() -> Store:
    opened = wiring.store()
    opened.connect()
    return opened


class EngineClient:
    """Opens a new connection for every request: threads cannot share one, and page views are rare."""

    def status(self) -> Mapping[str, Any]:
        with self._connection() as connection:
            return connection.ask(wire.STATUS)

    def depth(self) -> Depth:
        with self._connection() as connection:
            depth: Depth = connection.ask(wire.DEPTH)["depth"]
            return depth

    @staticmethod
    def _connection() -> closing[Connection]:
        addresses, make_network = engine_addresses.addresses(), network_of(OBSERVER_KEY)
        return closing(Connection(addresses, timeout_s=ENGINE_TIMEOUT_S, make_network=make_network))
