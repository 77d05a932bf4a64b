"""How one command that causes much work delays somebody else, and how much memory the engine needs for it.

A client sends small commands one at a time, without a pause. Another process sends one command that triggers many
orders (also FOKs that nothing can fill), meets or cancels as many, or freezes the account of as many. The input log is
the write-ahead log, and settlement runs, because they handle the block of that command too.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings

from benchmarks.processes import BenchError, Exchange, exchange
from matching.client.client import Client
from matching.client.edge import BatchBuilder, Edge
from matching.core.blocks import Records
from matching.transport.key_register import KeyRole
from matching.workloads.btc_usd import DEFINITIONS

ORDERS = 100_000
REPETITIONS = 3
_LEVELS = 100  # prices of the orders
_AT_ONCE = 4000  # commands
_TIMEOUT_S = 120.0
_OTHER = 1  # the account that sends small commands
_AROUND_S = 0.3  # small commands before and after the large one
Command = dict[str, Any]
Batch = tuple[Records, bytes]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """Of one kind of command, a value for each repetition.

    `longest_ms`: the longest answer to another client meanwhile, `usual_ms`: the median before. `growth_mib`: the
    engine's peak of resident memory meanwhile, less what it had before.
    """

    kind: str
    orders: int
    events: int
    command_ms: list[float]
    longest_ms: list[float]
    usual_ms: list[float]
    growth_mib: list[float]

    def document(self) -> dict[str, Any]:
        return asdict(self)


def measure(
    kinds: Sequence[str], orders: int, repetitions: int, *, parent: Path | None, say: Say
) -> Iterator[Measured]:
    """Raises BenchError, MatchingError."""
    with ExitStack() as opened:
        say("starting an exchange")
        running = opened.enter_context(exchange(parent, {"INPUT_LOG": "wal"}, is_plain=False))
        client = opened.enter_context(_client(running))
        client.call([*DEFINITIONS, *_deposits(_OTHER)])
        account = _OTHER
        for kind in kinds:
            runs = []
            for number in range(repetitions):
                say(f"{kind}, {number + 1} of {repetitions}")
                runs.append(_run(running, client, kind, orders, account + 1, account + 2))
                account += 2
            yield Measured(kind, orders, runs[0][0], *(list(values) for values in list(zip(*runs, strict=True))[1:]))


# The commands: those before the large one, for a number of orders and two new accounts, and the large one.


def _deposits(*accounts: int) -> Iterator[Command]:
    for account in accounts:
        for asset, amount in (("BTC", "1000"), ("USD", "10000000")):
            yield {"command": "deposit", "account": account, "asset": asset, "amount": amount, "reference": asset}


def _order(account: int, side: str, price: int, lots: int = 1, **fields: Any) -> Command:
    """`price` in ticks."""
    order = {"command": "order", "account": account, "symbol": "BTC-USD", "side": side, "order_type": "limit"}
    return {**order, "price": _ticks(price), "quantity": f"{lots // 10_000}.{lots % 10_000:04d}", **fields}


def _ticks(price: int) -> str:
    return f"{price // 100}.{price % 100:02d}"


def _stops(orders: int, maker: int, trader: int) -> Iterator[Command]:
    """Each stop sells to one of the bids, and every so often that trade is at the price that triggers further stops."""
    yield from _deposits(maker, trader)
    yield from (_order(maker, "sell", 200_000), _order(trader, "buy", 200_000))  # the price is high again
    prices = [100_000 - number * _LEVELS // orders for number in range(orders)]
    for price in (*prices, prices[-1]):
        yield _order(maker, "buy", price)
    for price in prices:
        yield {**_order(trader, "sell", 1), "order_type": "stop_loss", "price": None, "trigger_price": _ticks(price)}


def _offers(orders: int, maker: int, trader: int) -> Iterator[Command]:
    yield from _deposits(maker, trader)
    for number in range(orders):
        yield _order(maker, "sell", 300_000 + number * _LEVELS // orders)


def _foks(orders: int, maker: int, trader: int) -> Iterator[Command]:
    """Each FOK wants more than there is at twice as many prices."""
    yield from _deposits(maker, trader)
    yield {"command": "deposit", "account": trader, "asset": "USD", "amount": "100000000000", "reference": "foks"}
    yield from (_order(maker, "sell", 200_000), _order(trader, "buy", 200_000))  # the price is high
    for number in range(2 * orders):
        yield _order(maker, "sell", 500_000 + number)
    fok = {"order_type": "take_profit_limit", "time_in_force": "fok", "trigger_price": _ticks(100_000)}
    for _ in range(orders):
        yield _order(trader, "buy", 500_000 + 2 * orders, lots=10 * orders, **fok)
    yield _order(maker, "buy", 100_000)


def _sale(orders: int, maker: int, trader: int) -> Command:
    return _order(trader, "sell", 1)


def _sweep(orders: int, maker: int, trader: int) -> Command:
    return _order(trader, "buy", 400_000, lots=orders)


def _cancel_all(orders: int, maker: int, trader: int) -> Command:
    return {"command": "cancel_all", "account": maker}


def _freeze(orders: int, maker: int, trader: int) -> Command:
    return {"command": "account_status", "account": maker, "status": "frozen"}


_KINDS = {
    "stops": (_stops, _sale, KeyRole.GATEWAY),
    "foks": (_foks, _sale, KeyRole.GATEWAY),
    "sweep": (_offers, _sweep, KeyRole.GATEWAY),
    "cancel_all": (_offers, _cancel_all, KeyRole.GATEWAY),
    "freeze": (_offers, _freeze, KeyRole.OPERATOR),
}
KINDS = tuple(_KINDS)


# One run


def _run(
    running: Exchange, client: Client, kind: str, orders: int, maker: int, trader: int
) -> tuple[int, float, float, float, float]:
    """(events, then the values of `Measured` of one repetition)"""
    fill, large, role = _KINDS[kind]
    _send_all(client, fill(orders, maker, trader))
    running.wait_until_projected(client.status()["block"])
    batches = cycle([_batch(client, command) for command in _small_commands()])
    with _sender(running, role, large(orders, maker, trader)) as sender:
        usual = _round_trips(client, batches, lambda: False)
        before = _memory_mib(running, "VmRSS")
        _reset_peak(running)
        assert sender.stdin is not None
        sender.stdin.write(b"\n")
        sender.stdin.flush()
        taken = _round_trips(client, batches, lambda: sender.poll() is None)
        growth = _memory_mib(running, "VmHWM") - before
        done = _result(sender)
    return done["events"], *(round(value, 1) for value in (done["seconds"] * 1e3, max(taken), np.median(usual), growth))


def _send_all(client: Client, commands: Iterator[Command]) -> None:
    builder, left = BatchBuilder(Edge(client.registry)), 0

    def send() -> None:
        client.connection.send(*builder.take())
        if not client.connection.receive(_TIMEOUT_S):
            raise BenchError(f"The engine did not answer within {_TIMEOUT_S:g} s.")

    for command in commands:
        refusal = builder.add(command)
        assert refusal is None, command
        left += 1
        if left == _AT_ONCE:
            send()
            left = 0
    send()


def _small_commands() -> list[Command]:
    name: Command = {"client_order_id": "small"}
    return [_order(_OTHER, "buy", 100, **name), {"command": "cancel", "account": _OTHER, "symbol": "BTC-USD", **name}]


def _batch(client: Client, command: Command) -> Batch:
    builder = BatchBuilder(Edge(client.registry))
    builder.add(command)
    return builder.take()


def _round_trips(client: Client, batches: Iterator[Batch], goes_on: Callable[[], bool]) -> list[float]:
    """Milliseconds of each small command, until a while after `goes_on` is false."""
    taken, stops_at_s = [], time.perf_counter() + _AROUND_S
    while (began_s := time.perf_counter()) < stops_at_s:
        client.connection.send(*next(batches))
        if not client.connection.receive(_TIMEOUT_S):
            raise BenchError(f"The engine did not answer within {_TIMEOUT_S:g} s.")
        taken.append((time.perf_counter() - began_s) * 1e3)
        if goes_on():
            stops_at_s = time.perf_counter() + _AROUND_S
    return taken


def _client(running: Exchange) -> Client:
    address = running.environment["ENGINE_COMMAND_ADDRESS"]
    return Client(address, timeout_s=_TIMEOUT_S, make_network=running.make_network)


@contextmanager
def _sender(running: Exchange, role: KeyRole, command: Command) -> "Iterator[subprocess.Popen[bytes]]":
    """`benchmarks.delays.large_command`, which is connected and waits for a line."""
    environment = running.environment
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "benchmarks.delays.large_command",
            environment["DATA_DIR"],
            environment["ENGINE_COMMAND_ADDRESS"],
            role,
        ],
        cwd=settings.BASE_DIR,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(command).encode() + b"\n")
        process.stdin.flush()
        if process.stdout.readline() != b"ready\n":
            raise BenchError(f"The process that sends the large command ended with status {process.wait()}.")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _result(sender: "subprocess.Popen[bytes]") -> dict[str, Any]:
    assert sender.stdout is not None
    if sender.wait() != 0:
        raise BenchError(f"The process that sends the large command ended with status {sender.returncode}.")
    found: dict[str, Any] = json.loads(sender.stdout.read())
    return found


def _process_folder(running: Exchange) -> Path:
    return Path(f"/proc/{running.processes['engine'].pid}")


def _memory_mib(running: Exchange, name: str) -> float:
    status = (_process_folder(running) / "status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def _reset_peak(running: Exchange) -> None:
    """Sets VmHWM to the memory of now."""
    (_process_folder(running) / "clear_refs").write_text("5")
