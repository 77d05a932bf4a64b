"""Clients and the commands that they send."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge
from matching.core.errors import EngineRefused
from matching.core.registry import Registry
from matching.transport.key_register import KeyRole
from matching.transport.sockets import Network
from matching.transport.wire import NOT_PERMITTED, OUT_OF_ORDER, REQUEST_FORGOTTEN, REQUEST_MISMATCH
from matching.workloads.demo_venue import LISTINGS
from simulator.sessions import Record, ResultUnknown, Session
from simulator.trust.keys import Holder, Keys
from simulator.variety import Variety
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
_IDLE_S = (0.5, 6.0)
_MISTAKEN = (REQUEST_MISMATCH, REQUEST_FORGOTTEN)

Command = dict[str, Any]


class Trader:
    """Sends a number of batches in spite of all faults, and records every answer."""

    def __init__(
        self,
        process: Process,
        make_connection: Callable[..., Connection],
        rng: random.Random,
        number: int,
        keys: Keys,
    ) -> None:
        """`make_connection` makes one of a client id, a process and a key."""
        self.name = process.name
        self.holder = Holder(keys, KeyRole.LOCAL, process.name)
        self.problems: list[str] = []
        self.record = Record()
        self.session: Session | None = None  # while it has one
        self._keys = keys
        self._key = self.holder.key
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
                self._process.world.counts[f"client refused: {error.code}"] += 1
                if error.code == OUT_OF_ORDER:
                    self.loss_reports_s.append(self._process.monotonic())
                if error.code in _MISTAKEN and not self._process.world.client_rates.second_programs_a_minute:
                    self.problems.append(f"{self.name} alone uses its client id and was refused: {error}")
                if error.code == NOT_PERMITTED and self._keys.is_valid(self._key):
                    self.problems.append(f"{self.name} was refused, but its key is valid: {error}")
                self._process.wait(self._rng.uniform(0.05, 0.5))
            except ResultUnknown:
                self._process.wait(_NEW_KEY_S)
        self.is_done = True

    def _trade(self) -> None:
        """Sends commands until all are sent, or until there is another key to use."""
        self._client_id += 1
        self._key = self.holder.key
        connection = self._make_connection(self._client_id, self._process, self._key)
        session = self.session = self.new_session(connection, self._process, self._key)
        try:
            edge = Edge(Registry())
            builder = BatchBuilder(edge)
            for definition in _DEFINITIONS:
                encoded = edge.encode(definition)
                assert isinstance(encoded, list), encoded
                self._send(session, builder, [definition])
                self._collect(session, 0)
                edge.registry.apply(encoded[0].kind, encoded[0].text)
            while self._left > 0 and self._key == self.holder.key:
                self._send(session, builder, [next(self._commands) for _ in range(self._rng.randint(1, 8))])
                self._left -= 1
                self._collect(session, _MAX_UNANSWERED)
                self._process.wait(self._rng.expovariate(1 / self._pause_s))
            self._collect(session, 0)
        finally:
            self.session = None
            connection.close()

    def new_session(self, connection: Connection, process: Process, key: str) -> Session:
        """A session whose answers are recorded with those of this trader."""
        return Session(connection, process, self._keys, key, self.record)

    def _send(self, session: Session, builder: BatchBuilder, commands: list[Command]) -> None:
        for command in commands:
            refusal = builder.add(command)
            assert refusal is None, (command, refusal)
        session.send(builder)

    def _collect(self, session: Session, max_unanswered: int) -> None:
        session.collect(max_unanswered)
        world = self._process.world
        if world.happens("client idle", world.client_rates.idle, world.client_rng):
            self._process.wait(world.client_rng.uniform(*_IDLE_S))


def connection_maker(addresses: str, make_network: Callable[[Process, str], Network]) -> Callable[..., Connection]:
    def make(client_id: int, process: Process, key: str, first_number: int = 1) -> Connection:
        return Connection(
            addresses,
            timeout_s=_TIMEOUT_S,
            client_id=client_id,
            first_number=first_number,
            make_network=lambda: make_network(process, key),
            clock=process.monotonic,
            time_ns=process.time_ns,
        )

    return make


def _commands(rng: random.Random, number: int) -> Iterator[Command]:
    """Endless commands of one trader: deposits first, then orders of all kinds around one price; some trade."""
    placed: list[tuple[int, str]] = []
    variety = Variety(rng)
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
            order = {
                "command": "order",
                "account": account,
                "symbol": _SYMBOL,
                "side": rng.choice(("buy", "sell")),
                "order_type": "limit",
                "price": f"{rng.randint(63_990, 64_010)}.00",
                "quantity": f"0.{rng.randint(1, 9)}",
                "client_order_id": name,
            }
            yield variety.of(order)
