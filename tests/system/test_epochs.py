"""Two real engines on one store: only one can lead, and a takeover stops the other."""

import pytest

from matching.client.client import Client
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import deposit
from tests.system.conftest import Start

pytestmark = pytest.mark.processes


def test_a_second_engine_is_refused_until_it_takes_over_and_then_the_first_one_stops(start: Start) -> None:
    first = start("run_engine").wait_until_ready()
    store = f"sqlite:///{first.data_dir}/exchange.sqlite3"
    with Client(first.address("COMMAND")) as client:
        client.call([*DEFINITIONS, deposit(1, "a")])

    refused = start("run_engine", DATABASE_URL=store)
    assert refused.popen.wait(60) == 1
    refused.stop()
    where = first.address("COMMAND")
    assert (
        f"at {where} leads (epoch 1): start this one with --follow {where}, or with --take-over" in refused.errors[-1]
    )
    assert refused.lines == []

    second = start("run_engine", "--take-over", DATABASE_URL=store).wait_until_ready()
    assert second.lines[0].startswith("leader at block 0, epoch 2: commands ")
    assert first.popen.wait(60) == 1
    first.stop()
    assert "has begun epoch 2: this engine was replaced and stops." in first.errors[-1]
    assert f"--follow {second.address('COMMAND')}" in first.errors[-1]
    for process in (refused, first):
        assert "Traceback" not in "".join(process.errors)


def test_the_first_line_after_a_restart_names_snapshot_and_log(start: Start) -> None:
    first = start("run_engine", "--input-log", "wal", "--snapshot-every", "10").wait_until_ready()
    with Client(first.address("COMMAND")) as client:
        client.call(DEFINITIONS)
        for number in range(30):
            client.call([deposit(1, f"{number}")])
    assert first.stop() == 0
    again = start("run_engine", "--input-log", "wal", data_dir=first.data_dir).wait_until_ready()
    assert again.lines[0].startswith("leader at block 33, epoch 2 (snapshot of block ")
    assert " from the log): commands " in again.lines[0]
