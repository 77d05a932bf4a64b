"""Promotes a follower: it becomes the leader in a new epoch, which fences the previous leader."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from matching.client.connection import Connection
from matching.commandline.own_keys import KeyName, network_of
from matching.transport import wire

_PATIENCE_S = 3.0


class Follower:
    """An engine that has answered."""

    def __init__(self, status: dict[str, Any], ask: Callable[[bytes, float], dict[str, Any]]) -> None:
        self.status = status
        self._ask = ask

    def promote(self, timeout_s: float, *, forced: bool) -> dict[str, Any]:
        """The engine's decision: `ok`, then `epoch` and `block`, or `message`.

        `timeout_s`: for the engine to catch up. Raises EngineUnreachable, NoAnswer, EngineRefused, BadMessage.
        """
        return self._ask(wire.PROMOTE_FORCED if forced else wire.PROMOTE, timeout_s)


@contextmanager
def follower_at(address: str, *, key: KeyName) -> Iterator[Follower]:
    """Asks for the status first: it fails fast if no engine is there, and catching up may take long.

    Raises EngineUnreachable, NoAnswer, EngineRefused, BadMessage, AddressUnusable, KeysUnusable.
    """
    connection = Connection(address, timeout_s=_PATIENCE_S, failover=False, make_network=network_of(key))
    try:
        yield Follower(connection.ask(wire.STATUS), connection.ask)
    finally:
        connection.close()
