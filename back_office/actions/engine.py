"""How the worker reaches the engine: one connection for each request, with the key that its action needs."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from matching.client.client import Client, Result
from matching.commandline.own_keys import KeyName, network_of
from matching.commandline.promotion import follower_at
from matching.transport.key_register import KeyRole

TIMEOUT_S = 5.0
FIRST_NUMBER = 1
"""Each request is a client of its own and sends one command, so none of them waits for the answer of another."""


class Session(Protocol):
    """An engine that has answered."""

    def send(self, command: dict[str, Any]) -> Result:
        """Raises NoAnswer, EngineRefused, EngineUnreachable."""


class Follower(Protocol):
    """A follower that has answered, or whatever engine has this address."""

    @property
    def status(self) -> dict[str, Any]: ...

    def promote(self, timeout_s: float, *, forced: bool) -> dict[str, Any]:
        """As `matching.commandline.promotion`."""


class Engine(Protocol):
    def session(self, key: KeyRole, client_id: int) -> AbstractContextManager[Session]:
        """Raises EngineUnreachable, KeysUnusable; then nothing was sent."""

    def follower(self, key: KeyRole, address: str) -> AbstractContextManager[Follower]:
        """Raises EngineUnreachable, NoAnswer, AddressUnusable, KeysUnusable; then nothing was sent."""


class RealEngine:
    def __init__(self, addresses: Callable[[], str], timeout_s: float = TIMEOUT_S) -> None:
        """`addresses`: those of the settings and of the newest leader, separated by commas."""
        self._addresses = addresses
        self._timeout_s = timeout_s

    @contextmanager
    def session(self, key: KeyRole, client_id: int) -> Iterator["ClientSession"]:
        with Client(
            self._addresses(),
            timeout_s=self._timeout_s,
            client_id=client_id,
            first_number=FIRST_NUMBER,
            make_network=network_of(KeyName(key)),
        ) as client:
            client.refresh()  # so that whatever fails before sending fails here
            yield ClientSession(client)

    def follower(self, key: KeyRole, address: str) -> AbstractContextManager[Follower]:
        return follower_at(address, key=KeyName(key))


class ClientSession:
    def __init__(self, client: Client) -> None:
        self._client = client

    def send(self, command: dict[str, Any]) -> Result:
        (result,) = self._client.call([command])
        return result
