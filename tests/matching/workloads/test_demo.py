"""The demo market: the same seed gives the same market, and it survives errors of the engine."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from matching.client.client import Client, Result
from matching.core.errors import EngineRefused, EngineUnreachable, NoAnswer
from matching.core.registry import Registry
from matching.transport import wire
from matching.workloads import demo_venue
from matching.workloads.demo_market import Market, book_of
from matching.workloads.demo_session import Session
from tests.matching import small_exchange
from tests.matching.exchanges import KernelExchange

ROOT = Path(__file__).resolve().parents[3]


class Venue:
    """An engine without sockets whose calls can be made to fail."""

    def __init__(self, exchange: KernelExchange) -> None:
        self.exchange = exchange
        self.troubles: list[Exception] = []  # raised by the next calls, one each
        self.calls: list[list[demo_venue.Command]] = []

    @property
    def registry(self) -> Registry:
        return self.exchange.engine.registry

    def status(self) -> dict[str, Any]:
        return {"command_sequence": self.exchange.engine.next_command_sequence - 1}

    def depth(self) -> dict[str, dict[str, list[list[int]]]]:
        engine = self.exchange.engine
        return {instrument.symbol: engine.depth(instrument, 1) for instrument in engine.registry.instruments}

    def call(self, commands: Sequence[demo_venue.Command]) -> list[Result]:
        if self.troubles and len(self.calls) > 10:
            raise self.troubles.pop(0)
        self.calls.append(list(commands))
        return [Result(1, 1, self.exchange.submit(command)) for command in commands]


class Time:
    """A fake clock that advances with each pause and a little with each reading. Stops after `stop_after` pauses."""

    def __init__(self, stop_after: int = 1 << 30) -> None:
        self.now_s = 0.0
        self.pauses_left = stop_after

    def clock(self) -> float:
        self.now_s += 0.001
        return self.now_s

    def pause(self, seconds: float) -> bool:
        self.now_s += seconds
        self.pauses_left -= 1
        return self.pauses_left < 0


def session(venue: Venue, time: Time, said: list[str], limit: int | None, patience_s: float = 60.0) -> Session:
    @contextmanager
    def connect() -> Iterator[Venue]:
        yield venue

    return Session(connect, 7, 100.0, limit, patience_s, time.clock, time.pause, said.append)


def traded(seed: int, count: int) -> tuple[list[demo_venue.Command], list[dict[str, Any]], Market, KernelExchange]:
    """The commands of a market on its own engine, and their events."""
    exchange = KernelExchange()
    for command in (*demo_venue.missing(exchange.engine.registry), *demo_venue.deposits("0")):
        assert exchange.submit(command)[0]["event"] != "rejected"
    market = Market(seed, "0", [book_of(one, {}) for one in exchange.engine.registry.instruments])
    commands, events = [], []
    for _ in range(count):
        command = market.next()
        caused = exchange.submit(command)
        market.observe(command, caused)
        commands.append(command)
        events += caused
    return commands, events, market, exchange


def test_the_same_seed_gives_the_same_market() -> None:
    one, other, another = traded(3, 400), traded(3, 400), traded(4, 400)
    assert one[0] == other[0]
    assert one[1] == other[1]
    assert one[0] != another[0]


def test_the_market_has_every_kind_of_event() -> None:
    commands, events, _, _ = traded(1, 3000)
    kinds = Counter(command["command"] for command in commands)
    assert kinds.keys() == {"order", "oco", "cancel", "cancel_all", "replace", "deposit", "withdraw"}
    types = Counter((one.get("order_type"), one.get("time_in_force")) for one in commands if one["command"] == "order")
    assert types.keys() == {
        *(("limit", None), ("limit", "ioc"), ("limit", "fok"), ("market", None)),
        *(("stop_loss", None), ("stop_loss_limit", None)),
    }
    assert any("visible_quantity" in one for one in commands)
    assert {one["side"] for one in commands if "quote_quantity" in one} == {"buy", "sell"}
    happened = Counter(event["event"] for event in events)
    assert happened["trade"] > 300
    assert happened["rejected"] < 60
    assert happened["order_triggered"] > 3
    assert len({event["symbol"] for event in events if event["event"] == "trade"}) == len(demo_venue.LISTINGS)


def test_no_command_of_the_market_is_refused_at_the_edge() -> None:
    _, events, _, _ = traded(5, 2000)
    assert not [event for event in events if event["event"] == "rejected" and event["sequence"] is None]


def test_the_market_knows_its_open_orders_from_their_events() -> None:
    _, _, market, exchange = traded(2, 1500)
    quotes = {quote.order_id: quote for book in market.books.values() for quote in book.quotes.values()}
    resting = {order.order_id: order.remaining for order in exchange.engine.open_orders()}
    waiting = {order.order_id: order.quantity for order in exchange.engine.pending_orders()}
    assert resting.keys() <= quotes.keys(), "it knows all but the stop legs of ocos"
    assert {known: quote.quantity for known, quote in quotes.items()} == {
        known: lots for known, lots in (resting | waiting).items() if known in quotes
    }


def test_prices_stay_in_a_plausible_range() -> None:
    _, _, market, _ = traded(6, 1500)
    for book in market.books.values():
        assert 0.8 < book.fair / book.start < 1.25


def test_an_account_without_funds_gets_a_deposit() -> None:
    *_, market, exchange = traded(1, 0)
    for account in demo_venue.ACCOUNTS:
        for listing in demo_venue.LISTINGS:
            given = demo_venue.deposit(account, listing.base, listing.base)
            assert exchange.submit(given | {"command": "withdraw"})[0]["event"] == "withdrawn"
    events = []
    for _ in range(500):
        command = market.next()
        caused = exchange.submit(command)
        market.observe(command, caused)
        events += caused
    assert any(event.get("reason") == "insufficient_balance" for event in events)
    assert sum(event["event"] == "deposited" for event in events) > 5
    assert any(event["event"] == "trade" for event in events)


def test_prices_continue_from_the_existing_books() -> None:
    exchange = traded(1, 0)[3]
    instrument = exchange.engine.registry.instruments[0]
    assert book_of(instrument, {"bids": [[5_000_000, 1]], "asks": [[5_000_100, 1]]}).fair == 5_000_050
    assert book_of(instrument, {"bids": [[1, 1]], "asks": [[3, 1]]}).fair == 6_400_000
    assert book_of(instrument, {"bids": [[5_000_000, 1]], "asks": []}).fair == 6_400_000


def test_a_second_run_continues_and_repeats_no_reference() -> None:
    venue, said = Venue(KernelExchange()), list[str]()
    assert session(venue, Time(), said, 300).run() == 300
    first = [command for call in venue.calls for command in call]
    prices = venue.depth()
    venue.calls.clear()
    assert session(venue, Time(), said, 300).run() == 300
    second = [command for call in venue.calls for command in call]
    assert not {one["command"] for one in second} & {"asset", "instrument"}
    assert [one["command"] for one in second[:18]] == ["cancel_all"] * 18
    references = [one["reference"] for one in first + second if "reference" in one]
    names = [one["client_order_id"] for one in first + second if one["command"] == "order" and "client_order_id" in one]
    assert len(references) == len(set(references)) > 60
    assert len(names) == len(set(names)) > 100
    for symbol, sides in venue.depth().items():
        assert abs(sides["bids"][0][0] / prices[symbol]["bids"][0][0] - 1) < 0.1


@pytest.mark.parametrize(
    "trouble",
    [
        EngineRefused(wire.ENGINE_HALTED, "The ring is full."),
        EngineRefused(wire.OUT_OF_ORDER, "Not the next."),
        NoAnswer("The engine did not answer."),
        EngineUnreachable("No engine answers."),
    ],
)
def test_errors_are_retried_and_reported_once(trouble: Exception) -> None:
    venue, said = Venue(KernelExchange()), list[str]()
    venue.troubles = [trouble] * 5
    assert session(venue, Time(), said, 200).run() == 200
    assert [line.partition(" ")[0] for line in said] == ["trading", str(trouble).partition(" ")[0], "trading"]


def test_an_engine_that_stays_unreachable_ends_the_demo() -> None:
    venue, said = Venue(KernelExchange()), list[str]()
    venue.troubles = [EngineUnreachable("No engine answers.")] * 100
    with pytest.raises(EngineUnreachable, match=r"^No engine has answered for 5 s\.$"):
        session(venue, Time(), said, 200, patience_s=5.0).run()
    assert said.count("No engine answers.") == 1
    assert 90 < len(venue.troubles) < 100


def test_the_demo_refuses_a_follower() -> None:
    venue, said = Venue(KernelExchange()), list[str]()
    venue.troubles = [EngineRefused(wire.FOLLOWER, "A follower takes no commands.")]
    with pytest.raises(EngineRefused):
        session(venue, Time(), said, 200).run()


def test_the_demo_stops_on_request() -> None:
    venue, said = Venue(KernelExchange()), list[str]()
    assert 0 < session(venue, Time(stop_after=50), said, None).run() < 500


def test_other_assets_with_these_names_are_reported() -> None:
    venue = Venue(KernelExchange())
    for symbol in ("USD", "BTC", "ETH", "SOL"):
        venue.exchange.submit({"command": "asset", "symbol": symbol, "decimals": 0})
    with pytest.raises(EngineRefused, match="no demo instrument fits"):
        session(venue, Time(), [], 10).run()


def test_the_demo_trades_over_sockets(running_leader: small_exchange.Running) -> None:
    def connect() -> Client:
        return Client(running_leader.commands)

    time = Time()
    sent = Session(connect, 1, 1000.0, 400, 5.0, time.clock, time.pause, lambda line: None).run()
    assert sent == 400
    with connect() as client:
        assert all(sides["bids"] and sides["asks"] for sides in client.depth().values())


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(
    number: signal.Signals, running_leader: small_exchange.Running, tmp_path: Path
) -> None:
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "ENGINE_COMMAND_ADDRESS": running_leader.commands}
    command = [sys.executable, "manage.py", "demo_market", "--rate", "200"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        while not (line := process.stderr.readline()).startswith("trading "):
            assert line.startswith("No engine answers")  # on a busy machine, once
        process.send_signal(number)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert out.startswith("sent ")
    assert errors == ""
