"""Clients: the commands that they send and the answers that they receive."""

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge, Encoded
from matching.core.errors import EngineRefused, EngineUnreachable
from matching.core.registry import Registry
from matching.transport.key_register import KeyRole
from matching.transport.sockets import Network
from matching.transport.wire import NOT_PERMITTED, OUT_OF_ORDER, Answer
from matching.workloads.demo_venue import LISTINGS
from simulator.trust.keys import Holder, Keys
from simulator.world import Process

_SYMBOL = LISTINGS[0].symbol
_DEFINITIONS: tuple[dict[str, Any], ...] = (
    {"command": "asset", "symbol": "BTC", "decimals": 8},
    {"command": "asset", "symbol": "USD", "decimals": 6},
    LISTINGS[0].definition(),
)
_ACCOUNTS = range(101, 107)
_TIMEOUT_S = 4.0
_MAX_UNANSWERED = 4
_NEW_KEY_S = 0.1

Command = dict[str, Any]


class _KeyRevoked(Exception):
    """No engine answers this key any more: use the new one."""


class Acknowledged(NamedTuple):
    """Answered commands of one client, with their events."""

    client: int
    first_number: int
    command_count: int
    block_number: int  # 0: applied earlier, and the events are no longer held
    first_command_sequence: int
    events: bytes
    at_s: float


class Trader:
    """Sends a number of batches in spite of all faults, and records every answer."""

    def __init__(
        self,
        process: Process,
        make_connection: Callable[[int, Process, str], Connection],
        rng: random.Random,
        number: int,
        keys: Keys,
    ) -> None:
        """`make_connection` makes one of a client id with a key."""
        self.name = process.name
        self.holder = Holder(keys, KeyRole.LOCAL, process.name)
        self.problems: list[str] = []
        self.sent_revoked: set[tuple[int, int]] = set()
        """Client and number of each first command of a batch that was sent with a key that was revoked before."""
        self._keys = keys
        self._key = self.holder.key
        self.acknowledged: list[Acknowledged] = []
        self.loss_reports_s: list[float] = []  # times of errors that report an answered command as missing
        self.is_done = False
        self._process = process
        self._make_connection = make_connection
        self._rng = rng
        self._client_id = number * 1_000_000
        self._left = rng.randint(10, 60)
        self._commands = _commands(rng, number)
        self._pause_s = rng.choice((0.02, 0.1, 0.4))

    def run(self) -> None:
        while self._left > 0:
            try:
                self._trade()
            except EngineRefused as error:
                # Not applied, or answered commands are lost: start again as a new client, with the definitions.
                if error.code == OUT_OF_ORDER:
                    self.loss_reports_s.append(self._process.monotonic())
                if error.code == NOT_PERMITTED and self._keys.is_valid(self._key):
                    self.problems.append(f"{self.name} was refused, but its key is valid: {error}")
                self._process.wait(self._rng.uniform(0.05, 0.5))
            except _KeyRevoked:
                self._process.wait(_NEW_KEY_S)
        self.is_done = True

    def _trade(self) -> None:
        """Sends commands until all are sent, or until there is another key to use."""
        self._client_id += 1
        self._key = self.holder.key
        connection = self._make_connection(self._client_id, self._process, self._key)
        try:
            edge = Edge(Registry())
            builder = BatchBuilder(edge)
            for definition in _DEFINITIONS:
                encoded = edge.encode(definition)
                assert isinstance(encoded, Encoded), encoded
                self._send(connection, builder, [definition])
                self._collect(connection, 0)
                edge.registry.apply(encoded.kind, encoded.text)
            while self._left > 0 and self._key == self.holder.key:
                self._send(connection, builder, [next(self._commands) for _ in range(self._rng.randint(1, 8))])
                self._left -= 1
                self._collect(connection, _MAX_UNANSWERED)
                self._process.wait(self._rng.expovariate(1 / self._pause_s))
            self._collect(connection, 0)
        finally:
            connection.close()

    def _send(self, connection: Connection, builder: BatchBuilder, commands: list[Command]) -> None:
        for command in commands:
            refusal = builder.add(command)
            assert refusal is None, (command, refusal)
        if not self._keys.is_valid(self._key):
            self.sent_revoked.add((connection.client_id, connection.next_number))
        connection.send(*builder.take())

    def _collect(self, connection: Connection, max_unanswered: int) -> None:
        """Receives answers until at most `max_unanswered` batches are unanswered."""
        while connection.in_flight > max_unanswered:
            try:
                answers = connection.receive(1.0)
            except EngineUnreachable:
                if not self._keys.is_valid(self._key):
                    raise _KeyRevoked from None
                connection.retry()
                continue
            for answered in answers:
                self._keep(answered.answer)

    def _keep(self, answer: Answer) -> None:
        for segment in answer.segments:
            self.acknowledged.append(
                Acknowledged(
                    client=answer.client,
                    first_number=segment.first_number,
                    command_count=segment.command_count,
                    block_number=segment.block_number,
                    first_command_sequence=segment.first_command_sequence,
                    events=segment.events.tobytes(),
                    at_s=self._process.monotonic(),
                )
            )


def connection_maker(
    addresses: str, make_network: Callable[[Process, str], Network]
) -> Callable[[int, Process, str], Connection]:
    def make(client_id: int, process: Process, key: str) -> Connection:
        return Connection(
            addresses,
            timeout_s=_TIMEOUT_S,
            client_id=client_id,
            make_network=lambda: make_network(process, key),
            clock=process.monotonic,
        )

    return make


def _commands(rng: random.Random, number: int) -> Iterator[Command]:
    """Endless commands of one trader: deposits first, then orders around one price, some of which trade."""
    placed: list[tuple[int, str]] = []
    for at in range(10**9):
        account = rng.choice(_ACCOUNTS)
        name = f"{number}-{at}"
        what = rng.random() if at > 8 else 0.0
        if what < 0.15:
            asset = rng.choice(("BTC", "USD"))
            amount = "10" if asset == "BTC" else "1000000"
            yield {"command": "deposit", "account": account, "asset": asset, "amount": amount, "reference": name}
        elif what < 0.18:
            yield {"command": "withdraw", "account": account, "asset": "USD", "amount": "50", "reference": name}
        elif what < 0.3 and placed:
            owner, client_order_id = placed.pop(rng.randrange(len(placed)))
            yield {"command": "cancel", "account": owner, "symbol": _SYMBOL, "client_order_id": client_order_id}
        elif what < 0.32:
            yield {"command": "cancel_all", "account": account}
        else:
            placed.append((account, name))
            yield {
                "command": "order",
                "account": account,
                "symbol": _SYMBOL,
                "side": rng.choice(("buy", "sell")),
                "order_type": "limit",
                "price": f"{rng.randint(63_990, 64_010)}.00",
                "quantity": f"0.{rng.randint(1, 9)}",
                "client_order_id": name,
            }
