"""Those who trade: threads with a connection each, that send at a fixed rate and remember every answer."""

import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from matching.client.client import Client
from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge
from matching.core.errors import EngineRefused, EngineUnreachable, MatchingError
from matching.core.registry import Registry
from matching.workloads.btc_usd import DEFINITIONS

TIMEOUT_S = 5.0
_BATCH_COMMANDS = 6  # at most
_LOOK_S = 0.05
_FUNDS = "1000000"
_KEPT_ORDERS = 50
SYMBOL = "BTC-USD"


class Acknowledged(NamedTuple):
    """What one answer says of commands that one block holds."""

    client: int
    number: int  # the client's, of the first command
    command_count: int
    block: int  # 0: done before, and what came of it is not held any more
    command_sequence: int
    events: bytes


class Answer(NamedTuple):
    """When it came, by the monotonic clock, and from which engine."""

    at_s: float
    address: str


def define(addresses: str) -> Registry:
    """Makes the market, and gives what a client has to know of it."""
    with Client(addresses) as client:
        client.call(DEFINITIONS)
        return client.registry


class Trader(threading.Thread):
    """Sends until `stop` is set, then waits for what it has not heard of, at most `patience_s`."""

    def __init__(
        self, number: int, addresses: str, registry: Registry, seed: float, rate: float, patience_s: float
    ) -> None:
        super().__init__(name=f"trader-{number}", daemon=True)
        self.acknowledged: list[Acknowledged] = []
        self.answers: list[Answer] = []
        self.problems: list[str] = []
        self.newest_block = 0  # that an answer named
        self.silences = 0  # times that nobody answered for TIMEOUT_S
        self.stop = threading.Event()
        self._addresses = addresses
        self._builder = BatchBuilder(Edge(registry))
        self._market = _orders(random.Random(seed), number)  # noqa: S311 (the same seed has to give the same orders)
        self._pause_s = (1 + _BATCH_COMMANDS) / 2 / rate
        self._sizes = random.Random(seed + 1)  # noqa: S311
        self.patience_s = patience_s

    @property
    def commands(self) -> int:
        return sum(one.command_count for one in self.acknowledged)

    def run(self) -> None:
        connection = Connection(self._addresses, timeout_s=TIMEOUT_S)
        try:
            while not self.stop.is_set():
                self._collect(connection, self._pause_s)
                if not connection.full:
                    self._send(connection)
            self._finish(connection)
        except MatchingError as error:  # nothing more is to be had of it: said at the end
            self.problems.append(f"{self.name} gave up: {error}")
        finally:
            connection.close()

    def _send(self, connection: Connection) -> None:
        for _ in range(self._sizes.randint(1, _BATCH_COMMANDS)):
            refusal = self._builder.add(next(self._market))
            assert refusal is None, refusal
        try:
            connection.send(*self._builder.take())
        except EngineUnreachable as error:
            self._bear(connection, error)

    def _collect(self, connection: Connection, seconds: float) -> None:
        """Hears for so long, however much comes."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                answered = connection.receive(left_s)
            except (EngineUnreachable, EngineRefused) as error:
                self._bear(connection, error)
                continue
            now_s = time.monotonic()
            self.answers.extend(Answer(now_s, connection.address) for _ in answered)
            for one, _ in answered:
                self.newest_block = max(self.newest_block, *(part.block_number for part in one.segments))
                self.acknowledged.extend(
                    Acknowledged(
                        one.client,
                        part.first_number,
                        part.command_count,
                        part.block_number,
                        part.first_command_sequence,
                        part.events.tobytes(),
                    )
                    for part in one.segments
                )

    def _bear(self, connection: Connection, error: EngineUnreachable | EngineRefused) -> None:
        if isinstance(error, EngineUnreachable):
            self.silences += 1
            connection.retry()
        else:
            self.problems.append(f"{self.name} was refused with {error.code}: {error}")

    def _finish(self, connection: Connection) -> None:
        deadline_s = time.monotonic() + self.patience_s
        while connection.under_way and time.monotonic() < deadline_s:
            self._collect(connection, _LOOK_S)
        if connection.under_way:
            self.problems.append(
                f"{self.name}: {connection.under_way} batches were without an answer {self.patience_s:g} s after the "
                "last fault."
            )


def _orders(moments: random.Random, number: int) -> Iterator[dict[str, Any]]:
    """Deposits, then orders around one price, replaces, cancels and now and then a deposit or a withdrawal."""
    accounts = [2 * number + 1, 2 * number + 2]
    for account in accounts:
        for asset in ("BTC", "USD"):
            yield _funding("deposit", account, asset, _FUNDS, f"first-{account}-{asset}")
    placed: deque[tuple[int, str]] = deque(maxlen=_KEPT_ORDERS)
    count = 0
    while True:
        count += 1
        kind = moments.choices(("order", "cancel", "cancel_all", "deposit", "withdraw"), (70, 18, 1, 8, 3))[0]
        account = moments.choice(accounts)
        if kind == "order" or not placed:
            placed.append((account, f"o-{number}-{count}"))
            yield _order(moments, *placed[-1])
        elif kind == "cancel":
            owner, name = _taken(moments, placed)
            yield {"command": "cancel", "account": owner, "symbol": SYMBOL, "client_order_id": name}
        elif kind == "cancel_all":
            yield {"command": "cancel_all", "account": account}
        else:
            asset, amount = moments.choice(("BTC", "USD")), str(moments.randint(1, 9))
            yield _funding(kind, account, asset, amount, f"{kind}-{number}-{count}")


def _order(moments: random.Random, account: int, name: str) -> dict[str, Any]:
    return {
        "command": "order",
        "account": account,
        "symbol": SYMBOL,
        "side": moments.choice(("buy", "sell")),
        "order_type": "limit",
        "price": f"{moments.randint(9_900, 10_100) / 100:.2f}",
        "quantity": f"0.{moments.randint(1, 9_999):04d}",
        "time_in_force": moments.choices(("gtc", "ioc"), (9, 1))[0],
        "client_order_id": name,
    }


def _funding(command: str, account: int, asset: str, amount: str, reference: str) -> dict[str, Any]:
    return {"command": command, "account": account, "asset": asset, "amount": amount, "reference": reference}


def _taken(moments: random.Random, placed: deque[tuple[int, str]]) -> tuple[int, str]:
    at = moments.randrange(len(placed))
    one = placed[at]
    del placed[at]
    return one


class Crowd:
    """All of them together."""

    def __init__(
        self, count: int, addresses: Sequence[str], registry: Registry, moments: random.Random, rate: float
    ) -> None:
        self.traders = [
            # Each asks another engine first.
            Trader(number, ",".join(_turned(addresses, number)), registry, moments.random(), rate / count, 120.0)
            for number in range(count)
        ]

    def start(self) -> None:
        for trader in self.traders:
            trader.start()

    def last_answer_s(self) -> float:
        return max((trader.answers[-1].at_s for trader in self.traders if trader.answers), default=0.0)

    def hurry(self) -> None:
        """Nobody waits for the rest any more: the run was told to stop."""
        for trader in self.traders:
            trader.patience_s = 0.0

    def newest_block(self) -> int:
        return max(trader.newest_block for trader in self.traders)

    def finish(self) -> None:
        """Waits until each has heard of everything that it sent, or has given up."""
        for trader in self.traders:
            trader.stop.set()
        for trader in self.traders:
            trader.join()

    def answers(self) -> list[Answer]:
        return sorted(answer for trader in self.traders for answer in trader.answers)

    def acknowledged(self) -> list[Acknowledged]:
        return [one for trader in self.traders for one in trader.acknowledged]

    def problems(self) -> list[str]:
        return [problem for trader in self.traders for problem in trader.problems]


def _turned(addresses: Sequence[str], by: int) -> list[str]:
    at = by % len(addresses)
    return [*addresses[at:], *addresses[:at]]
