"""The management commands: what they print and how they end."""

import json
import logging
import os
import signal
import socket
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import pytest
import structlog
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from exchange_site import logs
from exchange_site.management.commands import run_settlement
from matching.client.client import Client
from matching.commandline.interruption import StopFlag
from matching.core.epochs import Epoch
from settlement import lock, wiring
from settlement.clock import SystemClock
from settlement.errors import AlreadyRunning
from settlement.stores import timing
from settlement.stores.base import Store, StoreUnavailable
from settlement.stores.sql.store import SqlStore
from tests.settlement.audit.test_reconciliation import state
from tests.settlement.commandline.conftest import CHAIN, refused, run
from tests.settlement.rows import epoch

TRADE = {
    "trade_id": 8,
    "trade_number": 1,
    "time": "2025-12-31T23:59:51.500000000Z",
    "symbol": "BTC-USD",
    "price": "20000",
    "quantity": "0.5",
    "taker_side": "buy",
    "maker_order_id": 6,
    "taker_order_id": 7,
    "buyer": 2,
    "seller": 1,
    "buyer_fee": "0.001",
    "buyer_fee_asset": "BTC",
    "seller_fee": "10",
    "seller_fee_asset": "USD",
    "block_number": 4,
}


def test_get_trade_shows_a_trade_and_exits_1_if_there_is_none(settled: Store) -> None:
    assert json.loads(run("get_trade", "8", "--json")) == TRADE
    text = run("get_trade", "8")
    assert "BTC-USD trade 1  0.5 at 20000, taker buy; buyer 2 (fee 0.001 BTC), seller 1 (fee 10 USD)" in text
    assert refused("get_trade", "9") == (1, "There is no settled trade 9.")
    assert refused("get_trade", str(10**30))[0] == 1


def test_list_trades_shows_a_range(settled: Store) -> None:
    span = ["--from-sequence", "1", "--to-sequence"]
    assert json.loads(run("list_trades", *span, "100", "--json")) == [TRADE]
    assert json.loads(run("list_trades", *span, "7", "--json")) == []
    assert run("list_trades", *span, "8").count("\n") == 1
    assert run("list_trades", *span, "7") == ""
    assert refused("list_trades", *span, "0") == (2, "The range begins at 1, after its end 0.")


def test_a_reader_that_closes_the_pipe_is_no_error(settled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with TemporaryFile("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        call_command("list_trades", "--from-sequence", "1", "--to-sequence", "9", stdout=Closed())
        stdout.write("more")
        stdout.flush()
        stdout.seek(0, 2)
        assert stdout.tell() == 0  # it leads nowhere now


def test_ctrl_c_exits_130_with_a_message(settled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("settlement.audit.verify.verify", interrupt)
    assert refused("verify_settlement") == (130, "Stopped by SIGINT.")


def test_lookups_without_tables_exit_2(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE settled_trades RENAME TO elsewhere")
    code, sentence = refused("get_trade", "8")
    assert code == 2
    assert "init_store creates the tables" in sentence


def test_an_unavailable_store_is_reported_once(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: object, **more: object) -> None:
        log = structlog.get_logger("settlement.stores.sql.session")
        log.warning("store.request_failed", error="no answer")
        log.warning("store.database_file_replaced")
        raise StoreUnavailable("The database does not answer: no answer.")

    monkeypatch.setattr(SqlStore, "get_trade_by_id", away)
    written, logger = StringIO(), logging.getLogger("settlement.stores.sql.session")
    handler = logging.StreamHandler(written)
    logger.addHandler(handler)
    try:
        assert refused("get_trade", "8") == (2, "The database does not answer: no answer.")
    finally:
        logger.removeHandler(handler)
    assert "store.database_file_replaced" in written.getvalue()
    assert "store.request_failed" not in written.getvalue()
    assert not logger.filters


def test_an_empty_store_has_no_differences_and_no_blocks(data_dir: Path, store: Store) -> None:
    assert run("verify_settlement") == "No differences: no blocks.\n"


def test_an_unknown_store_exits_2(settings: Settings) -> None:
    settings.SETTLEMENT_STORE = "paper"
    assert refused("get_trade", "8") == (2, "There is no store 'paper': SETTLEMENT_STORE is sql or scylla.")


def test_init_store_is_safe_twice(data_dir: Path, db: None) -> None:
    assert run("init_store") == run("init_store") == "The store's tables exist.\n"


def test_verify_settlement_exits_0_or_prints_each_difference_and_exits_1(settled: Store) -> None:
    assert run("verify_settlement").startswith("No differences: blocks 1 to 4, 1 trades, state hash ")
    report = json.loads(run("verify_settlement", "--json"))
    assert {name: report[name] for name in ("ok", "blocks", "trades", "differences")} == {
        "ok": True,
        "blocks": 4,
        "trades": 1,
        "differences": [],
    }
    assert report["state_hash"] == f"{CHAIN.engine.state_hash:016x}"
    with connection.cursor() as cursor:
        cursor.execute("UPDATE settled_trades SET quantity = 4999")
    out = StringIO()
    with pytest.raises(CommandError) as ended:
        call_command("verify_settlement", stdout=out, stderr=StringIO())
    assert ended.value.returncode == 1
    assert out.getvalue().splitlines()[0] == "trade 8: expected quantity 5000, found quantity 4999"
    assert "DIFFERENCES FOUND" in out.getvalue()


def test_verify_settlement_of_a_range_that_the_store_lacks_exits_2(settled: Store) -> None:
    assert refused("verify_settlement", "--from-block", "9")[0] == 2


def test_run_settlement_that_is_stopped_before_its_last_block_reports_it(
    settled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = StopFlag()
    stop.receive(signal.SIGTERM)
    monkeypatch.setattr("exchange_site.management.commands.run_settlement.stop_on_signals", lambda: stop)
    monkeypatch.setattr("exchange_site.management.commands.run_settlement.settle", lambda *arguments: 0)
    assert refused("run_settlement", "--until-block", "5") == (
        143,
        "Stopped after block 4, before block 5. Start it again to continue.",
    )


def test_verify_settlement_exits_1_if_durable_blocks_are_not_projected(
    settled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("settlement.management.commands.verify_settlement._PROJECTION_TIMEOUT_S", 0)
    settled.drop_projections()
    sentence = "are not projected and were not compared: let run_settlement project them, then verify again."
    assert refused("verify_settlement") == (1, f"Blocks 1 to 4 {sentence}")
    assert refused("verify_settlement", "--to-block", "2") == (1, f"Blocks 1 to 2 {sentence}")


def test_verify_settlement_waits_while_the_projection_advances(settled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def project(self: SystemClock, seconds: float) -> None:
        run("rebuild_projections")

    monkeypatch.setattr(SystemClock, "sleep", project)
    settled.drop_projections()
    assert run("verify_settlement").startswith("No differences: blocks 1 to 4, 1 trades")


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ("ALTER TABLE settled_trades RENAME TO elsewhere", "table settled_trades"),
        ("ALTER TABLE candles RENAME COLUMN volume TO lots", "column volume of table candles"),
    ],
)
def test_init_store_exits_2_if_something_is_missing_that_it_does_not_create(
    data_dir: Path, db: None, change: str, lost: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(change)
    code, sentence = refused("init_store")
    assert code == 2
    assert sentence.startswith(f"The database lacks {lost}, although its record of migrations says that")


def test_a_second_settlement_process_is_refused(settled: Store, data_dir: Path) -> None:
    with lock.exclusive(data_dir):
        owner = f"settlement on {socket.gethostname()[:30]}, process {os.getpid()}"
        code, sentence = refused("rebuild_projections")
        assert (code, sentence) == (2, f"Another settlement process works on {data_dir} ({owner}): stop it first.")
        assert refused("run_settlement")[0] == 2
        with pytest.raises(AlreadyRunning), lock.exclusive(data_dir):
            pass
    run("rebuild_projections")


def test_reconcile_requests_the_state_of_the_engine(settled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[dict[str, Any]] = [state(CHAIN.engine)] * 2

    def ask(client: Client) -> dict[str, Any]:
        return answers.pop()

    def connect(self: Client, address: str, **_: object) -> None:
        self.connection = Closed()  # type: ignore[assignment]

    class Closed:
        def close(self) -> None:
            pass

    monkeypatch.setattr(Client, "__init__", connect)
    monkeypatch.setattr(Client, "state", ask)
    assert run("reconcile").startswith("No differences: block 4, 6 balances, 1 open orders")
    assert json.loads(run("reconcile", "--json"))["ok"] is True
    answers.append({**state(CHAIN.engine), "open_orders": []})
    assert refused("reconcile")[0] == 1


def test_reconcile_without_an_engine_exits_2(settled: Store, free_port: Callable[[], int]) -> None:
    code, sentence = refused("reconcile", "--address", f"tcp://127.0.0.1:{free_port()}", "--deadline", "0.1")
    assert code == 2
    assert "No engine answers" in sentence


def test_engines_are_those_of_the_settings_and_the_leader_in_the_store(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ENGINE_COMMAND_ADDRESS = first = "tcp://127.0.0.1:5701"
    assert (wiring.newest_epoch(), wiring.engines()) == (None, first)
    store.begin_epoch(epoch(1)._replace(commands=first))
    assert wiring.engines() == first
    store.begin_epoch(epoch(2)._replace(commands="tcp://127.0.0.1:5801"))
    assert wiring.engines() == f"{first},tcp://127.0.0.1:5801"

    def away(self: Store) -> list[Epoch]:
        raise StoreUnavailable("The database does not answer.")

    monkeypatch.setattr(SqlStore, "epochs", away)
    assert wiring.engines() == first


def test_the_system_clock_is_a_clock() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0)
    assert clock.monotonic() >= before
    assert clock.time_ns() > 1_700_000_000 * 10**9


USER_COMMANDS = [
    ["verify_settlement"],
    ["list_trades", "--from-sequence", "1", "--to-sequence", "100"],
    ["get_trade", "8"],
    ["rebuild_projections"],
    ["replay_dead_letters", "--all"],
    ["init_store"],
]


@pytest.mark.parametrize("arguments", USER_COMMANDS, ids=lambda arguments: arguments[0])
def test_a_slow_statement_is_on_the_terminal_only_when_asked_for(
    settled: Store, settings: Settings, caplog: pytest.LogCaptureFixture, arguments: list[str]
) -> None:
    settings.SETTLEMENT_SLOW_QUERY_MS = -1  # every statement is slow
    logs.configure()

    def slow_statements() -> list[str]:
        events = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
        caplog.clear()
        return [event["statement"] for event in events if event["event"] == "store.slow_statement"]

    run(*arguments)
    assert slow_statements() == []
    run(*arguments, "--verbosity", "2")
    shown = slow_statements()
    assert shown
    assert max(map(len, shown)) <= timing.SHOWN_CHARACTERS


def test_the_settlement_worker_logs_slow_statements() -> None:
    assert run_settlement.Command.logs_slow_statements
