"""An engine's DATA_DIR: used by one engine at a time, and a write-ahead log in it is not ignored."""

import signal

import pytest

from matching.client.client import Client
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.small_exchange import trading
from tests.system.conftest import Start

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("log", ["memory", "wal"])
def test_a_second_engine_in_one_folder_is_refused_until_the_first_one_has_ended(start: Start, log: str) -> None:
    first = start("run_engine", "--input-log", log).wait_until_ready()
    for arguments in ((), ("--take-over",), ("--follow", first.address("COMMAND"))):
        second = start("run_engine", "--input-log", log, *arguments, data_dir=first.data_dir)
        assert second.popen.wait(60) == 1
        second.stop()
        assert f"Another engine uses the folder {first.data_dir}: stop it first" in second.errors[-1]
        assert "Traceback" not in "".join(second.errors)
    first.stop(signal.SIGKILL)
    again = start("run_engine", "--input-log", log, data_dir=first.data_dir).wait_until_ready()
    assert again.lines[0].startswith("leader at block 0, epoch 2: commands ")


def test_a_second_engine_in_one_folder_is_refused_even_with_the_same_addresses(start: Start) -> None:
    """Containers that share a volume may use the same addresses without a conflict, so only the folder can tell."""
    first = start("run_engine").wait_until_ready()
    same = {name: value for name, value in first.environment.items() if name.startswith("ENGINE_")}
    second = start("run_engine", data_dir=first.data_dir, **same)
    assert second.popen.wait(60) == 1
    second.stop()
    assert f"Another engine uses the folder {first.data_dir}: stop it first" in second.errors[-1]
    with Client(first.address("COMMAND")) as client:
        assert len(client.call(DEFINITIONS)) == len(DEFINITIONS)
        assert client.status()["epoch"] == 1


def test_an_engine_is_refused_without_the_log_that_has_blocks_settlement_lacks(start: Start) -> None:
    first = start("run_engine", "--input-log", "wal").wait_until_ready()
    with Client(first.address("COMMAND")) as client:
        client.call([*DEFINITIONS, *trading(20)])
        block = client.status()["block"]
    assert first.stop() == 0
    refused = start("run_engine", data_dir=first.data_dir)
    assert refused.popen.wait(60) == 1
    refused.stop()
    assert (
        f"{first.data_dir / 'wal'} holds blocks up to {block}, and settlement has those up to 0: start this engine "
        "with that log (ENABLE_LOCAL_WAL=true or --input-log wal) until settlement has the rest, or move the folder "
        "away to discard them."
    ) in refused.errors[-1]
    assert "Traceback" not in "".join(refused.errors)
    again = start("run_engine", data_dir=first.data_dir, ENABLE_LOCAL_WAL="true").wait_until_ready()
    assert again.lines[0].startswith(f"leader at block {block}, epoch 2 ")
