"""How fast the gateway is: orders by the WebSocket API and by REST, queries, streams; and the engine client beside it.

Engine, settlement and gateway run as processes of their own, the clients in this one. One figure is measured at a time.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import uvloop
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from picows import ws_connect

from benchmarks.gateway import load
from benchmarks.gateway.load import Answers, Consumer, LoadFailed, Session
from benchmarks.gateway.ticks import ticks
from benchmarks.processes import READY_S, BenchError, Exchange, exchange
from exchange_site.operations import readiness
from gateway.orders.entry import NotExecuted, OrderEntry, OutcomeUnknown
from matching.client.client import Client
from matching.client.edge import Edge
from matching.workloads.btc_usd import BTC, DEFINITIONS, USD, instrument

_WINDOW = 512
_REST_CONNECTIONS = 32
_TRADES_A_BATCH = 100
_PERMISSIONS = ("--permissions", "read,trade", "--json")
_MAKER, _TAKER, _TRADER = 1, 2, 3
_FUNDS = "100000000"
_UNLIMITED = {
    "GATEWAY_WEIGHT_A_MINUTE": "1000000000",
    "GATEWAY_ORDERS_10_SECONDS": "1000000000",
    "GATEWAY_ORDERS_A_DAY": "1000000000",
}
_ORDER = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.0100"}
_QUERIES = (
    "/api/v3/depth?symbol=BTCUSD&limit=100",
    "/api/v3/ticker/bookTicker?symbol=BTCUSD",
    "/api/v3/ticker/24hr?symbol=BTCUSD",
    "/api/v3/klines?symbol=BTCUSD&interval=1m&limit=100",
    "/api/v3/trades?symbol=BTCUSD&limit=100",
)
_LONG_ASSETS = "1000CHEEMS", "FDUSD"
_LONG_SYMBOL = "-".join(_LONG_ASSETS)
_LONG_DEFINITIONS = [
    *({**asset, "symbol": name} for asset, name in zip((BTC, USD), _LONG_ASSETS, strict=True)),
    instrument(*_LONG_ASSETS),
]
_LONG_STREAM = f"/stream?streams={''.join(_LONG_ASSETS).lower()}@aggTrade&timeUnit=MICROSECOND"
"""Its messages have more than 200 bytes: a long name, in the stream's and in the event, and times in microseconds."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """How many requests of each kind, at which rate, and how many consumers of streams."""

    orders: int
    queries: int
    per_second: int
    consumers: int


@dataclass(frozen=True)
class Key:
    name: str
    sign: Callable[[bytes], str]


def measure(sizes: Sizes, *, parent: Path | None, say: Say) -> dict[str, Any]:
    """Raises BenchError."""
    say("starting the processes")
    with exchange(parent, _UNLIMITED, is_plain=False) as running:
        running.start("gateway", "manage.py", "run_gateway")
        _wait_for_gateway(running)
        _define(running)
        hmac_key, ed25519_key = _hmac_key(running), _ed25519_key(running)
        try:
            return uvloop.run(_measure(running, sizes, hmac_key, ed25519_key, say))
        except LoadFailed as error:
            raise BenchError(str(error)) from error


async def _measure(running: Exchange, sizes: Sizes, hmac_key: Key, ed25519_key: Key, say: Say) -> dict[str, Any]:
    host, _, port = running.environment["GATEWAY_ADDRESS"].partition(":")
    session = await _logged_on(running, ed25519_key)
    found: dict[str, Any] = {"sizes": vars(sizes)}
    say("orders by a session")
    await session.pipelined(_order_messages(min(1000, sizes.orders)), _WINDOW)  # what is compiled at first use
    with _cpu_time(running, found, "session", sizes.orders):
        found["session"] = _speed(await session.pipelined(_order_messages(sizes.orders), _WINDOW))
    for name, key in (("rest_hmac", hmac_key), ("rest_ed25519", ed25519_key)):
        say(name)
        requests = _order_requests(key, sizes.orders)
        with _cpu_time(running, found, name, sizes.orders):
            found[name] = _speed(await load.rest(host, int(port), requests, _REST_CONNECTIONS))
    say("queries")
    with _cpu_time(running, found, "queries", sizes.queries):
        found["queries"] = _speed(await load.rest(host, int(port), _query_requests(sizes.queries), _REST_CONNECTIONS))
    say("at a fixed rate")
    rated = min(sizes.orders, 10 * sizes.per_second)
    answers = await session.at_rate(_order_messages(rated), sizes.per_second)
    found["session_at_rate"] = _delay(answers.taken_s)
    found["sent_late"] = _delay(answers.late_s)
    session.close()
    found["engine_at_rate"] = _delay(await _engine_at_rate(running, rated, sizes.per_second))
    found["ratio_p50"] = round(found["session_at_rate"]["p50_us"] / found["engine_at_rate"]["p50_us"], 2)
    say("streams")
    found["streams"] = await _fan_out(running, sizes, "/ws/btcusd@trade", "BTC-USD")
    say("streams of longer messages")
    found["long_streams"] = await _fan_out(running, sizes, _LONG_STREAM, _LONG_SYMBOL)
    return found


# What runs


def _wait_for_gateway(running: Exchange) -> None:
    address = running.environment["GATEWAY_HTTP_ADDRESS"]
    deadline_s = time.monotonic() + READY_S
    while readiness.wait_until_ready({"gateway": f"http://{address}/health/ready"}, 1.0):
        running.check()
        if time.monotonic() > deadline_s:
            raise BenchError(f"The gateway did not become ready within {READY_S:g} s.")


def _define(running: Exchange) -> None:
    with _client(running) as client:
        client.call(DEFINITIONS)
        client.call(_LONG_DEFINITIONS)
        client.call(
            {
                "command": "deposit",
                "account": account,
                "asset": asset,
                "amount": _FUNDS,
                "reference": f"{asset}-{account}",
            }
            for account in (_MAKER, _TAKER, _TRADER)
            for asset in ("BTC", "USD", *_LONG_ASSETS)
        )


def _client(running: Exchange) -> Client:
    return Client(running.environment["ENGINE_COMMAND_ADDRESS"], make_network=running.make_network)


def _made_key(running: Exchange, *options: str) -> Mapping[str, str]:
    made = subprocess.run(
        [sys.executable, "manage.py", "create_api_key", "--account", str(_TRADER), *_PERMISSIONS, *options],
        cwd=settings.BASE_DIR,
        env=running.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise BenchError(f"{made.stderr.strip()}: the API key could not be made.")
    document: dict[str, str] = json.loads(made.stdout)
    return document


def _hmac_key(running: Exchange) -> Key:
    made = _made_key(running)
    secret = made["secret"].encode()
    return Key(made["api_key"], lambda text: hmac.new(secret, text, hashlib.sha256).hexdigest())


def _ed25519_key(running: Exchange) -> Key:
    private, file = ed25519.Ed25519PrivateKey.generate(), running.folder / "public.pem"
    file.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    name = _made_key(running, "--public-key", str(file))["api_key"]
    return Key(name, lambda text: base64.b64encode(private.sign(text)).decode())


# Requests


async def _logged_on(running: Exchange, key: Key) -> Session:
    session = await Session.opened(f"ws://{running.environment['GATEWAY_ADDRESS']}/ws-api/v3?returnRateLimits=false")
    deadline_s = time.monotonic() + READY_S
    while True:  # the gateway may not have the key yet
        given = {"apiKey": key.name, "timestamp": time.time_ns() // 1_000_000}
        text = "&".join(f"{name}={given[name]}" for name in sorted(given))
        given["signature"] = key.sign(text.encode())
        answer = await session.ask(json.dumps({"id": 0, "method": "session.logon", "params": given}).encode())
        if b'"status":200' in answer:
            return session
        if time.monotonic() > deadline_s:
            raise LoadFailed(f"The session could not log on: {answer.decode()}.")


def _prices(count: int) -> Iterable[str]:
    return (f"{10 + number % 1000}.00" for number in range(count))


def _order_messages(count: int) -> list[bytes]:
    at_ms = time.time_ns() // 1_000_000
    given = {**_ORDER, "timestamp": at_ms, "recvWindow": 60_000}
    return [
        json.dumps({"id": number, "method": "order.place", "params": {**given, "price": price}}).encode()
        for number, price in enumerate(_prices(count))
    ]


def _order_requests(key: Key, count: int) -> list[bytes]:
    fixed = "&".join(f"{name}={value}" for name, value in _ORDER.items())
    at_ms, made = time.time_ns() // 1_000_000, []
    for price in _prices(count):
        text = f"{fixed}&price={price}&recvWindow=60000&timestamp={at_ms}"
        signature = quote(key.sign(text.encode()), safe="")
        made.append(_request("POST", f"/api/v3/order?{text}&signature={signature}", f"X-MBX-APIKEY: {key.name}\r\n"))
    return made


def _query_requests(count: int) -> list[bytes]:
    return [_request("GET", _QUERIES[number % len(_QUERIES)]) for number in range(count)]


def _request(method: str, target: str, headers: str = "") -> bytes:
    length = "content-length: 0\r\n" if method == "POST" else ""
    return f"{method} {target} HTTP/1.1\r\nHost: gateway\r\n{headers}{length}\r\n".encode()


# Figures


@contextmanager
def _cpu_time(running: Exchange, found: dict[str, Any], name: str, requests: int) -> Iterator[None]:
    """Adds the gateway's CPU time for each request of the block, where the system tells it."""
    before = running.cpu_seconds().get("gateway")
    yield
    after = running.cpu_seconds().get("gateway")
    if before is not None and after is not None:
        found[name]["gateway_cpu_us"] = round((after - before) / requests * 1e6, 1)


def _speed(answers: Answers) -> dict[str, float]:
    return {"per_second": round(answers.per_second), **_delay(answers.taken_s)}


def _delay(taken_s: Sequence[float]) -> dict[str, float]:
    p50, p99 = (np.percentile(taken_s, (50, 99)) * 1e6).round().tolist()
    return {"p50_us": p50, "p99_us": p99}


async def _engine_at_rate(running: Exchange, count: int, per_second: float) -> list[float]:
    """The same orders without the API: by the engine's client as the gateway uses it, sent at planned times."""
    with _client(running) as client:
        edge = Edge(client.registry)
    entry = OrderEntry(running.environment["ENGINE_COMMAND_ADDRESS"], running.make_network)
    entry.start()
    taken_s: list[float] = []
    tasks: list[asyncio.Task[None]] = []
    commands = [edge.encode(_limit(_TRADER, "buy", price)) for price in _prices(count)]

    async def place(number: int, planned_s: float) -> None:
        command = commands[number]
        assert isinstance(command, list), command
        await entry.submit(command)
        taken_s.append(time.perf_counter() - planned_s)

    try:
        await ticks(count, per_second, lambda *tick: tasks.append(asyncio.ensure_future(place(*tick))))
        await asyncio.gather(*tasks)
    except (NotExecuted, OutcomeUnknown) as error:
        raise LoadFailed("The engine did not execute an order.") from error
    finally:
        entry.close()
    return taken_s


def _limit(account: int, side: str, price: str, symbol: str = "BTC-USD") -> dict[str, Any]:
    order = {"command": "order", "account": account, "symbol": symbol, "side": side, "order_type": "limit"}
    return {**order, "price": price, "quantity": "0.0100"}


async def _fan_out(running: Exchange, sizes: Sizes, path: str, symbol: str) -> dict[str, float]:
    """Trades, each of which goes to all consumers."""
    url = f"ws://{running.environment['GATEWAY_ADDRESS']}{path}"
    consumers: list[Consumer] = []
    for _ in range(sizes.consumers):
        _, consumer = await ws_connect(Consumer, url)
        assert isinstance(consumer, Consumer)
        consumers.append(consumer)
    trades = max(_TRADES_A_BATCH, sizes.orders // 10)
    cpu_s = running.cpu_seconds().get("gateway")
    began_s = time.perf_counter()
    trading = threading.Thread(target=_trade, args=(running, trades, symbol))
    trading.start()
    wanted = trades * sizes.consumers
    while sum(consumer.messages for consumer in consumers) < wanted:
        if time.perf_counter() - began_s > READY_S:
            raise LoadFailed("Consumers did not get all trades in time.")
        await asyncio.sleep(0.005)
    taken_s = time.perf_counter() - began_s
    ended_cpu_s = running.cpu_seconds().get("gateway")
    trading.join()
    size = sum(consumer.bytes for consumer in consumers) / wanted
    with ExitStack() as closed:
        for consumer in consumers:
            if consumer.transport is not None:
                closed.callback(consumer.transport.disconnect)
    made: dict[str, float] = {
        "messages_per_second": round(wanted / taken_s),
        "bytes": round(size),
        "consumers": sizes.consumers,
    }
    if cpu_s is not None and ended_cpu_s is not None:
        made["gateway_cpu_us"] = round((ended_cpu_s - cpu_s) / wanted * 1e6, 2)
    return made


def _trade(running: Exchange, trades: int, symbol: str) -> None:
    with _client(running) as client:
        for first in range(0, trades, _TRADES_A_BATCH):
            pairs = range(min(_TRADES_A_BATCH, trades - first))
            client.call(_limit(account, side, "5000.00", symbol) for _ in pairs for account, side in _BOTH)


_BOTH = ((_MAKER, "sell"), (_TAKER, "buy"))
