import json
import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings

from back_office import program_states, readers
from back_office.formats import ReferenceData
from back_office.pages.overview import MAX_COUNTED_DEAD_LETTERS, OverviewPages
from back_office.program_states import ProgramState, Status
from matching.core.errors import EngineUnreachable
from settlement.alarms import records
from settlement.alarms.rules import Kind, Severity, Signal
from settlement.stores.base import MAX_VOLUME, Candle, DeadLetter, Store, StoredBlock
from tests.back_office.conftest import Engine, html, links, refusal, words
from tests.back_office.market import MINUTE_NS, Market
from tests.settlement.rows import projection

ask_the_real_engine = readers.EngineClient.status  # before a fixture puts another in its place


def candles(page: str) -> list[dict[str, object]]:
    found = re.search(r'<script id="candles" type="application/json">(.*?)</script>', page)
    assert found
    rows: list[dict[str, object]] = json.loads(found[1])
    return rows


def test_the_front_page_is_the_overview(operator: Client, market: Market) -> None:
    assert operator.get("/", follow=True).redirect_chain == [("/admin/", 302)]
    assert "Top of book" in words(operator.get("/admin/"))


def test_engine_settlement_and_market(operator: Client, market: Market, engine: Engine) -> None:
    market.run(40)
    engine.fields["block"] = market.block + 3
    page = words(operator.get("/admin/"))
    assert "Engine leader taking commands" in page
    assert f"Engine block {market.block + 3} 00c0ffee00c0ffee" in page
    assert "Ring in use 25 % 25 blocks wait for settlement" in page
    assert f"Durable {market.block} 3 blocks behind the engine" in page
    assert f"Projected {market.block} every durable block is projected" in page
    assert "Dead letters 0 none is unresolved" in page
    assert "spread 1.50" in page
    assert "ask 65124.50 3.0000 bid 65123.00 1.5000 bid 65122.00 0.5000" in page
    assert "trading" in page


def test_newest_trades_and_blocks(operator: Client, market: Market) -> None:
    market.run(30)
    response = operator.get("/admin/")
    assert links(response, "trades") == [trade.trade_id for trade in market.settled[:-13:-1]]
    assert links(response, "blocks") == [7, 6, 5, 4, 3, 2, 1]


def test_candles_are_exact_decimals_oldest_first(operator: Client, market: Market) -> None:
    market.trade("BTC-USD", 2_000_050, 5_000, maker=1, taker=2)
    market.trade("BTC-USD", 1_999_900, 2_500, maker=1, taker=2)
    market.time_ns += MINUTE_NS
    market.trade("BTC-USD", 2_000_000, 1, maker=1, taker=2)
    market.settle()
    assert candles(html(operator.get("/admin/"))) == [
        {
            "time": "2026-01-01T12:00",
            "open": "20000.5",
            "high": "20000.5",
            "low": "19999",
            "close": "19999",
            "volume": "0.75",
            "volume_is_at_least": False,
            "trades": 2,
        },
        {
            "time": "2026-01-01T12:01",
            "open": "20000",
            "high": "20000",
            "low": "20000",
            "close": "20000",
            "volume": "0.0001",
            "volume_is_at_least": False,
            "trades": 1,
        },
    ]


def test_a_saturated_volume_is_marked_as_a_lower_bound(operator: Client, market: Market) -> None:
    market.settle()
    at_most = Candle("BTC-USD", market.time_ns // MINUTE_NS * MINUTE_NS, 1, 1, 1, 1, MAX_VOLUME, 3, market.event)
    market.store.insert_rows(projection(market.block, candles=[at_most]))
    (row,) = candles(html(operator.get("/admin/")))
    assert (row["volume"], row["volume_is_at_least"]) == ("922337203685477.5807", True)


def test_trades_per_minute_count_all_instruments(market: Market, engine: Engine, rf: RequestFactory) -> None:
    market.run(3, step_ns=0)
    market.run(2, "ETH-USD", step_ns=0)
    market.time_ns += MINUTE_NS
    market.run(4, step_ns=0)
    pages = OverviewPages(market.store, engine, ReferenceData(market.store.definitions), lambda: market.time_ns)
    response = pages.overview(rf.get("/admin/"))
    assert response.context_data is not None
    assert response.context_data["trades_per_minute"] == (5, 4)


def test_the_instrument_can_be_selected(operator: Client, market: Market) -> None:
    market.run(2, "ETH-USD")
    page = words(operator.get("/admin/?symbol=eth-usd"))
    assert "There are no open orders in ETH-USD." in page
    assert re.search(r"\d{4}\.\d\d USD trading", page)
    assert "no trades yet" in words(operator.get("/admin/?symbol=BTC-USD"))


@pytest.mark.parametrize("address", ["/admin/", "/admin/overview/live/"])
def test_an_unknown_instrument_is_one_sentence(operator: Client, market: Market, address: str) -> None:
    response = operator.get(f"{address}?symbol=GOLD-USD")
    assert response.status_code == 400
    assert "There is no instrument GOLD-USD." in words(response)
    assert (
        refusal(operator.get("/admin/?symbol=%27"))
        == 'Instrument must be 1 to 32 characters of A-Z 0-9 . _ -, not "\'".'
    )


def test_a_halted_engine_shows_the_reason(operator: Client, market: Market, engine: Engine) -> None:
    engine.fields |= {"halted": True, "halted_reason": "The ring is full."}
    page = words(operator.get("/admin/"))
    assert "Engine halted The ring is full." in page
    assert "taking commands" not in page


def test_a_follower_is_not_said_to_take_commands(operator: Client, market: Market, engine: Engine) -> None:
    engine.fields["role"] = "follower"
    page = words(operator.get("/admin/"))
    assert "Engine follower takes no commands: it follows another engine" in page
    assert "taking commands" not in page


def test_a_replica_takes_commands(operator: Client, market: Market, engine: Engine) -> None:
    engine.fields["role"] = "replica"
    assert "Engine replica taking commands" in words(operator.get("/admin/"))


@pytest.mark.parametrize("address", ["/admin/", "/admin/overview/live/"])
def test_an_unreachable_engine_leaves_the_rest_of_the_page(
    operator: Client, market: Market, engine: Engine, address: str
) -> None:
    engine.absent = True
    market.run(3)
    response = operator.get(address)
    assert response.status_code == 200
    page = words(response)
    assert "Engine not reachable No engine answers at tcp://127.0.0.1:5701." in page
    assert "The order book comes from the engine, which is not reachable." in page
    assert f"Durable {market.block} last block appended" in page
    assert len(links(response, "trades")) == 3


def test_the_engine_client_has_a_short_timeout(settings: Settings, free_port: Callable[[], int]) -> None:
    settings.ENGINE_COMMAND_ADDRESS = f"tcp://127.0.0.1:{free_port()}"
    began = time.monotonic()
    with pytest.raises(EngineUnreachable):
        ask_the_real_engine(readers.EngineClient())
    assert time.monotonic() - began < 1


def test_an_empty_exchange_shows_which_programs_to_start(operator: Client, store: Store, engine: Engine) -> None:
    engine.absent = True
    page = words(operator.get("/admin/"))
    assert "No block has been settled yet: start manage.py run_engine and manage.py run_settlement." in page
    assert "There are no trades yet. manage.py demo_market starts a demo market." in page


def test_projection_lag_is_shown_in_blocks(operator: Client, market: Market) -> None:
    block = market.store.get_block(1)
    assert isinstance(block, StoredBlock)
    market.store.append_blocks([block._replace(number=number, prev_hash=block.hash) for number in (2, 3)])
    page = words(operator.get("/admin/"))
    assert "Durable 3 9 blocks behind the engine Projected 1 2 blocks behind durable" in page


def test_dead_letters_are_counted(operator: Client, market: Market) -> None:
    letter = DeadLetter(1, 1, "It does not fit.", 3, market.time_ns, market.time_ns, None)
    market.store.put_dead_letter(letter)
    response = operator.get("/admin/")
    assert "Dead letters 1 not projected: see the error, then replay" in words(response)
    assert '<a href="/admin/dead_letters/">1</a>' in html(response)


def test_dead_letters_are_counted_up_to_a_limit(operator: Client, market: Market) -> None:
    for number in range(1, MAX_COUNTED_DEAD_LETTERS + 10):
        letter = DeadLetter(number, number, "It does not fit.", 3, market.time_ns, market.time_ns, None)
        market.store.put_dead_letter(letter)
        if number == MAX_COUNTED_DEAD_LETTERS - 1:
            assert "Dead letters 49 not projected" in words(operator.get("/admin/"))
    assert "Dead letters 50 or more not projected" in words(operator.get("/admin/"))


def test_trades_per_minute_are_cached(operator: Client, market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sequence[tuple[str, int]]] = []
    get_candles = market.store.get_candles

    def noting(store: Store, keys: Sequence[tuple[str, int]]) -> list[Candle]:
        asked.append(keys)
        return get_candles(keys)

    monkeypatch.setattr(type(market.store), "get_candles", noting)
    for _ in range(3):
        assert operator.get("/admin/overview/live/").status_code == 200
    assert len(asked) == 1


@pytest.mark.parametrize("address", ["/admin/", "/admin/overview/live/"])
def test_raised_alarms_are_counted_and_linked(operator: Client, market: Market, address: str) -> None:
    assert "critical" not in words(operator.get(address))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for kind, severity in (
        (Kind.LAG, Severity.WARNING),
        (Kind.RECONCILIATION, Severity.CRITICAL),
        (Kind.DEAD_LETTERS, Severity.WARNING),
        (Kind.SPILL, Severity.WARNING),
    ):
        records.raise_alarm(Signal(kind, severity, f"This is {kind}."), now, now)
    records.clear_alarm(Kind.SPILL, now)
    response = operator.get(address)
    assert (
        "1 critical, 2 warnings critical Reconciliation This is reconciliation. "
        "warning Dead letters This is dead_letters. warning Lag This is lag. "
    ) in words(response)
    assert '<a href="/admin/reconciliations/">Reconciliation</a>' in html(response)
    assert '<a href="/admin/dead_letters/">Dead letters</a>' in html(response)
    assert '<a href="/admin/alarms/">1 critical' in html(response)


@pytest.fixture
def states_file(settings: Settings, tmp_path: Path) -> Path:
    settings.PROGRAM_STATES_FILE = tmp_path / "programs.json"
    return tmp_path / "programs.json"


@pytest.mark.parametrize("address", ["/admin/", "/admin/overview/live/"])
def test_restarts_of_the_programs_are_shown(operator: Client, market: Market, states_file: Path, address: str) -> None:
    assert "Programs of make run" not in words(operator.get(address))
    states = [
        ProgramState("settlement", Status.RUNNING, 0, "", None),
        ProgramState("engine", Status.RESTARTING, 2, "was ended by signal 9 (Killed)", 1_767_268_800.9),
    ]
    program_states.write(states_file, states)
    page = words(operator.get(address))
    assert (
        "Programs of make run settlement running engine restarting "
        "started again 2 times; at 2026-01-01T12:00:00Z it was ended by signal 9 (Killed)"
    ) in page


def test_the_live_fragment_contains_every_part_that_changes(operator: Client, market: Market) -> None:
    market.run(2)
    whole, part = html(operator.get("/admin/")), html(operator.get("/admin/overview/live/?symbol=BTC-USD"))
    names = re.findall(r'id="(live-[a-z]+)"', part)
    assert set(names) == set(re.findall(r'id="(live-[a-z]+)"', whole))
    replaced = re.search(r'hx-select-oob="([^"]+)"', whole)
    assert replaced
    assert {f"#{name}" for name in names} == {*replaced[1].split(","), "#live-tiles", "#live-time"}
    assert "<html" not in part
