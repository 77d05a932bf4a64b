"""Traders: threads that send commands at a fixed rate over their own connections and record every answer."""

import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from matching.client.client import Client
from matching.client.connection import Connection
from matching.client.edge import BatchBuilder, Edge
from matching.commandline.own_keys import LOCAL_KEY, network_of
from matching.core.errors import EngineRefused, EngineUnreachable, MatchingError
from matching.core.registry import Registry
from matching.workloads.btc_usd import DEFINITIONS

TIMEOUT_S = 5.0
_MAX_BATCH_COMMANDS = 6
_POLL_S = 0.05
_FUNDS = "1000000"
_KEPT_ORDERS = 50
SYMBOL = "BTC-USD"


class Acknowledged(NamedTuple):
    """The answer to consecutive commands in one block."""

    client: int
    number: int  # the client's number of the first command
    command_count: int
    block: int  # 0: applied earlier, and the events are no longer held
    command_sequence: int
    events: bytes


class Answer(NamedTuple):
    """Arrival time of an answer (monotonic clock) and the engine's address."""

    at_s: float
    address: str


def define(addresses: str) -> Registry:
    """Defines assets and instrument. Returns the registry for the traders."""
    with Client(addresses, make_network=network_of(LOCAL_KEY)) as client:
        client.call(DEFINITIONS)
        return client.registry


class Trader(threading.Thread):
    """Sends until `stop` is set, then waits for outstanding answers, for `timeout_s` at most."""

    def __init__(
        self, number: int, addresses: str, registry: Registry, seed: float, rate: float, timeout_s: float
    ) -> None:
        super().__init__(name=f"trader-{number}", daemon=True)
        self.acknowledged: list[Acknowledged] = []
        self.answers: list[Answer] = []
        self.problems: list[str] = []
        self.newest_block = 0  # in an answer
        self.timeouts = 0  # number of times without an answer for TIMEOUT_S
        self.stop = threading.Event()
        self._addresses = addresses
        self._builder = BatchBuilder(Edge(registry))
        self._market = _orders(random.Random(seed), number)  # noqa: S311 (the same seed has to give the same orders)
        self._pause_s = (1 + _MAX_BATCH_COMMANDS) / 2 / rate
        self._sizes = random.Random(seed + 1)  # noqa: S311
        self.timeout_s = timeout_s

    @property
    def commands(self) -> int:
        return sum(one.command_count for one in self.acknowledged)

    def run(self) -> None:
        connection = Connection(self._addresses, timeout_s=TIMEOUT_S, make_network=network_of(LOCAL_KEY))
        try:
            while not self.stop.is_set():
                self._collect(connection, self._pause_s)
                if not connection.full:
                    self._send(connection)
            self._finish(connection)
        except MatchingError as error:  # this trader cannot continue: reported at the end
            self.problems.append(f"{self.name} gave up: {error}")
        finally:
            connection.close()

    def _send(self, connection: Connection) -> None:
        for _ in range(self._sizes.randint(1, _MAX_BATCH_COMMANDS)):
            refusal = self._builder.add(next(self._market))
            assert refusal is None, refusal
        try:
            connection.send(*self._builder.take())
        except EngineUnreachable as error:
            self._handle_failure(connection, error)

    def _collect(self, connection: Connection, seconds: float) -> None:
        """Receives answers for `seconds`."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            try:
                answered = connection.receive(left_s)
            except (EngineUnreachable, EngineRefused) as error:
                self._handle_failure(connection, error)
                continue
            now_s = time.monotonic()
            self.answers.extend(Answer(now_s, connection.address) for _ in answered)
            for one, _ in answered:
                self.newest_block = max(self.newest_block, *(part.block_number for part in one.segments))
                self.acknowledged.extend(
                    Acknowledged(
                        client=one.client,
                        number=part.first_number,
                        command_count=part.command_count,
                        block=part.block_number,
                        command_sequence=part.first_command_sequence,
                        events=part.events.tobytes(),
                    )
                    for part in one.segments
                )

    def _handle_failure(self, connection: Connection, error: EngineUnreachable | EngineRefused) -> None:
        if isinstance(error, EngineUnreachable):
            self.timeouts += 1
            connection.retry()
        else:
            self.problems.append(f"{self.name} was refused with {error.code}: {error}")

    def _finish(self, connection: Connection) -> None:
        deadline_s = time.monotonic() + self.timeout_s
        while connection.in_flight and time.monotonic() < deadline_s:
            self._collect(connection, _POLL_S)
        if connection.in_flight:
            self.problems.append(
                f"{self.name}: {connection.in_flight} batches had no answer {self.timeout_s:g} s after the last fault."
            )


def _orders(rng: random.Random, number: int) -> Iterator[dict[str, Any]]:
    """Endless commands of one trader: deposits, then mostly orders around one price and cancels."""
    accounts = [2 * number + 1, 2 * number + 2]
    for account in accounts:
        for asset in ("BTC", "USD"):
            yield _funding("deposit", account, asset, _FUNDS, f"first-{account}-{asset}")
    placed: deque[tuple[int, str]] = deque(maxlen=_KEPT_ORDERS)
    count = 0
    while True:
        count += 1
        kind = rng.choices(("order", "cancel", "cancel_all", "deposit", "withdraw"), (70, 18, 1, 8, 3))[0]
        account = rng.choice(accounts)
        if kind == "order" or not placed:
            placed.append((account, f"o-{number}-{count}"))
            yield _order(rng, *placed[-1])
        elif kind == "cancel":
            owner, name = _pop_random(rng, placed)
            yield {"command": "cancel", "account": owner, "symbol": SYMBOL, "client_order_id": name}
        elif kind == "cancel_all":
            yield {"command": "cancel_all", "account": account}
        else:
            asset, amount = rng.choice(("BTC", "USD")), str(rng.randint(1, 9))
            yield _funding(kind, account, asset, amount, f"{kind}-{number}-{count}")


def _order(rng: random.Random, account: int, name: str) -> dict[str, Any]:
    return {
        "command": "order",
        "account": account,
        "symbol": SYMBOL,
        "side": rng.choice(("buy", "sell")),
        "order_type": "limit",
        "price": f"{rng.randint(9_900, 10_100) / 100:.2f}",
        "quantity": f"0.{rng.randint(1, 9_999):04d}",
        "time_in_force": rng.choices(("gtc", "ioc"), (9, 1))[0],
        "client_order_id": name,
    }


def _funding(command: str, account: int, asset: str, amount: str, reference: str) -> dict[str, Any]:
    return {"command": command, "account": account, "asset": asset, "amount": amount, "reference": reference}


def _pop_random(rng: random.Random, placed: deque[tuple[int, str]]) -> tuple[int, str]:
    at = rng.randrange(len(placed))
    one = placed[at]
    del placed[at]
    return one


class Traders:
    """All traders of a run."""

    def __init__(
        self, count: int, addresses: Sequence[str], registry: Registry, rng: random.Random, rate: float
    ) -> None:
        self.traders = [
            # Each connects to another engine first.
            Trader(number, ",".join(_rotated(addresses, number)), registry, rng.random(), rate / count, 120.0)
            for number in range(count)
        ]

    def start(self) -> None:
        for trader in self.traders:
            trader.start()

    def last_answer_s(self) -> float:
        return max((trader.answers[-1].at_s for trader in self.traders if trader.answers), default=0.0)

    def hurry(self) -> None:
        """Stops waiting for outstanding answers."""
        for trader in self.traders:
            trader.timeout_s = 0.0

    def newest_block(self) -> int:
        return max(trader.newest_block for trader in self.traders)

    def finish(self) -> None:
        """Stops sending; waits until each trader has all answers or has given up."""
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


def _rotated(addresses: Sequence[str], by: int) -> list[str]:
    at = by % len(addresses)
    return [*addresses[at:], *addresses[:at]]
