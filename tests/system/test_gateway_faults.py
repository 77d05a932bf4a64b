"""200 sessions trade by a gateway while replicas of a Kafka topic are killed: what was acknowledged is there once."""

import asyncio
import json
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from exchange_site.operations.free_addresses import free_addresses, free_http_address
from matching.client.client import Client
from matching.workloads.btc_usd import DEFINITIONS
from scripts.services import Running
from tests.gateway.signed_client import SignedClient
from tests.gateway.ws_client import hmac_signer
from tests.matching.kafka import new_topic
from tests.matching.small_exchange import deposit, order, until
from tests.system.conftest import START_S, Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.services("kafka"), pytest.mark.timeout(900)]

SESSIONS = 200
PATIENCE_S = 120.0
PAUSE_S = 0.2  # between two orders of a session, so that replicas and gateway are not starved
ORDER = {"symbol": "BTCUSD", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.0001", "price": "100"}
NOT_EXECUTED, UNKNOWN = -1008, -1007
UNLIMITED = {
    "GATEWAY_WEIGHT_A_MINUTE": "1000000000",
    "GATEWAY_ORDERS_10_SECONDS": "1000000000",
    "GATEWAY_ORDERS_A_DAY": "1000000000",
}


@dataclass
class Told:
    """What the gateway has told of orders, by the name that their client gave them."""

    accepted: dict[str, int] = field(default_factory=dict)  # with the order's id
    not_executed: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)

    def note(self, name: str, answer: dict[str, Any]) -> None:
        if answer["status"] == 200:
            assert answer["result"]["status"] == "FILLED", answer
            self.accepted[name] = answer["result"]["orderId"]
        else:
            code = answer["error"]["code"]
            assert code in (NOT_EXECUTED, UNKNOWN), answer
            (self.not_executed if code == NOT_EXECUTED else self.unknown).add(name)


@dataclass
class Sessions:
    """They place one order after the other until `stop` is set. An order that trades may have its name again: one that
    was applied twice is not refused."""

    url: str
    key: str
    secret: str
    told: Told = field(default_factory=Told)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    begun: list[int] = field(default_factory=lambda: [0] * SESSIONS)
    answered: list[int] = field(default_factory=lambda: [0] * SESSIONS)  # number of its newest accepted order

    async def trade(self, session: int) -> None:
        async with connect(self.url, open_timeout=PATIENCE_S, ping_timeout=PATIENCE_S) as connection:
            while not self.stop.is_set():
                self.begun[session] += 1
                await self._place(connection, session, self.begun[session])
                await asyncio.sleep(PAUSE_S)

    async def _place(self, connection: ClientConnection, session: int, number: int) -> None:
        name = f"s{session}-{number}"
        given = {**ORDER, "newClientOrderId": name, "apiKey": self.key, "recvWindow": 60_000}
        given["timestamp"] = str(time.time_ns() // 1_000_000)
        text = "&".join(f"{one}={given[one]}" for one in sorted(given))
        given["signature"] = hmac_signer(self.secret)(text)
        await connection.send(json.dumps({"id": name, "method": "order.place", "params": given}))
        answer = json.loads(await asyncio.wait_for(connection.recv(), PATIENCE_S))
        assert answer["id"] == name, answer
        self.told.note(name, answer)
        if name in self.told.accepted:
            self.answered[session] = number

    async def until_all_traded_anew(self) -> None:
        """Waits until each session has an answer to an order that it began after this call."""
        begun = list(self.begun)
        async with asyncio.timeout(2 * PATIENCE_S):
            while not all(newest > before for newest, before in zip(self.answered, begun, strict=True)):
                await asyncio.sleep(0.05)


@dataclass
class Exchange:
    """Two replicas, settlement and a gateway."""

    start: Start
    shared: dict[str, str]
    replicas: list[Process]
    gateway: Process
    key: str
    secret: str

    @property
    def host(self) -> str:
        return self.gateway.environment["GATEWAY_ADDRESS"]

    def kill(self, place: int) -> None:
        assert self.replicas[place].popen.poll() is None, self.replicas[place].errors
        self.replicas[place].stop(signal.SIGKILL)

    def restart(self, place: int) -> None:
        dead = self.replicas[place]
        own = {name: value for name, value in dead.environment.items() if name.startswith("ENGINE_")}
        self.replicas[place] = self.start("run_engine", data_dir=dead.data_dir, **{**self.shared, **own})
        self.replicas[place].wait_until_ready()


@pytest.fixture
def exchange(start: Start, kafka: Running) -> Exchange:
    """Account 1 has money, and account 2 offers more than all sessions buy."""
    own = [free_addresses(http=["ENGINE_HTTP_ADDRESS"]) for _ in range(2)]
    shared = {
        "INPUT_LOG": "kafka",
        "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
        "KAFKA_COMMAND_TOPIC": new_topic(kafka.address).name,
        "ENGINE_REPLICAS": ",".join(one["ENGINE_COMMAND_ADDRESS"] for one in own),
        "SETTLEMENT_HTTP_ADDRESS": free_http_address(),
        "GATEWAY_ADDRESS": free_http_address(),
        "GATEWAY_HTTP_ADDRESS": free_http_address(),
        **UNLIMITED,
    }
    first = start("run_engine", **shared, **own[0]).wait_until_ready()
    shared["DATABASE_URL"] = f"sqlite:///{first.data_dir}/exchange.sqlite3"
    second = start("run_engine", **shared, **own[1]).wait_until_ready()
    start("run_settlement", data_dir=first.data_dir, **{**shared, **own[0], "ENGINE_HTTP_ADDRESS": free_http_address()})
    with Client(first.address("COMMAND")) as client:
        funds = [deposit(1, "usd", "USD", "1000000"), deposit(2, "btc", "BTC", "1000")]
        results = client.call([*DEFINITIONS, *funds, order(2, "sell", "100", "1000")])
    assert not [result.rejected for result in results if result.rejected]
    made = start(
        "create_api_key", "--account", "1", "--permissions", "read,trade", "--json", data_dir=first.data_dir, **shared
    )
    until(lambda: made.popen.poll() is not None, "the API key", START_S)
    assert made.stop() == 0, made.errors
    document = json.loads(made.lines[-1])
    gateway = start("run_gateway", data_dir=first.data_dir, **{**shared, **own[0]}).wait_until_ready()
    return Exchange(start, shared, [first, second], gateway, document["api_key"], document["secret"])


def all_orders(client: SignedClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        following = found[-1]["orderId"] + 1 if found else 0
        answer = client.get("allOrders", symbol="BTCUSD", orderId=following, limit=1000)
        assert answer.status == 200, answer
        if not answer.body:
            return found
        found += answer.body


@pytest.mark.acceptance("200 sessions of the API find each acknowledged order once after replicas were killed")
def test_acknowledged_orders_are_there_once_after_each_replica_was_killed(exchange: Exchange) -> None:
    sessions = Sessions(f"ws://{exchange.host}/ws-api/v3?returnRateLimits=false", exchange.key, exchange.secret)

    async def day() -> None:
        async with asyncio.TaskGroup() as group:
            for session in range(SESSIONS):
                group.create_task(sessions.trade(session))
            await sessions.until_all_traded_anew()
            for place in range(2):
                await asyncio.to_thread(exchange.kill, place)
                await sessions.until_all_traded_anew()
                await asyncio.to_thread(exchange.restart, place)
                await sessions.until_all_traded_anew()
            sessions.stop.set()

    asyncio.run(day())
    told, client = sessions.told, SignedClient(f"http://{exchange.host}", exchange.key, exchange.secret)
    until(lambda: client.get("account").status == 200, "the gateway to be level with the engine", PATIENCE_S)
    orders = all_orders(client)
    found = {one["clientOrderId"]: one["orderId"] for one in orders}
    assert [name for name, count in Counter(one["clientOrderId"] for one in orders).items() if count > 1] == []
    assert {name: found.get(name) for name in told.accepted} == told.accepted
    assert told.not_executed & found.keys() == set()
    assert found.keys() <= told.accepted.keys() | told.unknown
    print(  # noqa: T201
        f"{len(told.accepted)} orders accepted, {len(told.not_executed)} not executed, {len(told.unknown)} unknown"
    )
