"""`submit` is killed twenty times and resumed: no command is applied twice, none is left out."""

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from matching.client.connection import Connection
from matching.client.jsonlines import dumps
from matching.client.replay import replay
from matching.transport import wire
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit, order, until
from tests.system.conftest import ROOT, Start

pytestmark = pytest.mark.processes

KILLS = 20
COUNT = 1000
"""Commands of a file that is submitted so slowly, 20 a second, that it is interrupted long before its end."""


@pytest.mark.parametrize("seed", [1, 2])
def test_twenty_kills_with_resume_give_the_result_of_a_single_run(seed: int, start: Start, tmp_path: Path) -> None:
    file = tmp_path / "commands.jsonl"
    lines = [dumps(command) for command in commands()]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    engine = start("run_engine").wait_until_ready()
    address = engine.address("COMMAND")
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.killed_submit", str(file), address, str(KILLS), str(seed)],
        cwd=ROOT,
        env={**os.environ, "DATA_DIR": str(tmp_path / "client")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *deaths, last = done.stdout.splitlines()
    print("\n".join(deaths))  # noqa: T201
    assert [death.rsplit(" ", 1)[1] for death in deaths] == [str(-signal.SIGKILL)] * KILLS
    *events, summary = replay(lines)
    told = json.loads(last)
    refused = sum(event["event"] == "rejected" for event in events)
    assert (told["sent"], told["accepted"], told["rejected"]) == (len(lines), len(lines) - refused, refused)
    with closing(Connection(address)) as connection:
        state = connection.ask(wire.STATE)
        assert connection.ask(wire.STATUS)["command_sequence"] == summary["commands"]
    assert len(state["open_orders"]) == len(summary["open_orders"]) == 900
    assert len(state["balances"]) == len(summary["balances"])
    assert [row[0] for row in state["open_orders"]] == [row["order_id"] for row in summary["open_orders"]]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_submit_reports_its_progress_and_can_be_resumed(
    number: signal.Signals, start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "commands.jsonl"
    file.write_text("".join(dumps({"command": "cancel_all", "account": 1}) + "\n" for _ in range(COUNT)), "ascii")
    engine = start("run_engine").wait_until_ready()
    shared = {"ENGINE_COMMAND_ADDRESS": engine.address("COMMAND"), "data_dir": tmp_path / "client"}
    submit = start("submit", str(file), "--rate", "20", "--batch", "2", **shared)
    with closing(Connection(engine.address("COMMAND"))) as connection:
        until(lambda: connection.ask(wire.STATUS)["command_sequence"] >= 4, "four commands", 60)
    assert submit.stop(number) == 128 + number
    summary = json.loads(submit.lines[-1])
    answered = summary["accepted"]
    assert "".join(submit.errors) == (
        f"CommandError: Stopped by {number.name}: {answered} of {summary['sent']} commands were answered, those up to "
        f"line {answered}; --resume continues there.\n"
    )
    resumed = start("submit", str(file), "--resume", **shared)
    until(lambda: resumed.popen.poll() is not None, "the rest", 60)
    assert resumed.stop() == 0
    assert json.loads(resumed.lines[-1])["accepted"] == COUNT
    with closing(Connection(engine.address("COMMAND"))) as connection:
        assert connection.ask(wire.STATUS)["command_sequence"] == COUNT


def commands() -> list[object]:
    """Orders without a client order id, so that the engine cannot detect duplicates. Edge or engine refuse some."""
    funds = [deposit(1, "a"), deposit(2, "b", asset="USD", amount="1000000000")]
    orders: list[object] = []
    for number in range(900):
        side = ("sell", "buy")[number % 2]
        orders.append(order(1 + number % 2, side, f"{200 if side == 'sell' else 100}.00", "0.1"))
        if number % 40 == 7:
            orders += [order(9, "buy", "1.00"), order(1, "buy", "1.001"), "no command"]
    return [*DEFINITIONS, *funds, *orders]
