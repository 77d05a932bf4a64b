"""Honest processes never contradict their checkpoints, whatever they lose."""

import json
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.workloads.btc_usd import DEFINITIONS
from tests.attacks.conftest import Site
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def signed_blocks(file: Path) -> list[int]:
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [json.loads(line)["checkpoint"]["block"] for line in lines]


def deposits(site: Site, name: str) -> None:
    client = site.client()
    for number in range(3):
        client.call([deposit(1, f"{name}-{number}")])


def settle(start: Start, site: Site, shared: dict[str, Any]) -> Process:
    """Starts settlement, and waits until it has everything."""
    settlement = start("run_settlement", **shared, SETTLEMENT_HTTP_ADDRESS=free_http_address())
    until(lambda: site.confirmed() == site.block(), "everything to be settled", 120)
    return settlement


def test_blocks_that_a_crash_without_a_log_has_lost_were_never_signed(start: Start, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    shared: dict[str, Any] = {
        "PLAIN_SOCKETS": "false",
        "CHECKPOINT_PLACES": str(evidence),
        "CHECKPOINT_BLOCKS": "1",
    }
    of_engine, of_settlement = evidence / "engine-local.jsonl", evidence / "settlement-local.jsonl"
    with ExitStack() as opened:
        first = Site(start("run_engine", **shared).wait_until_ready(), opened)
        shared |= {**first.engine.stream_settings, "data_dir": first.engine.data_dir}
        first.client().call(DEFINITIONS)
        settlement = settle(start, first, shared)
        stored = first.block()
        until(lambda: stored in signed_blocks(of_engine), "the engine to sign what is stored")
        assert settlement.stop() == 0
        deposits(first, "lost")
        assert first.block() > stored
        first.engine.stop(signal.SIGKILL)

        second = Site(start("run_engine", **shared).wait_until_ready(), opened)
        assert second.block() == stored
        deposits(second, "kept")
        settlement = settle(start, second, shared)
        last = second.block()
        until(lambda: last in signed_blocks(of_engine), "the restarted engine to sign")
        for process in (settlement, second.engine):
            assert process.stop() == 0
    assert signed_blocks(of_settlement)[-1] == last
    verified = start("verify_settlement", "--anchor", str(of_engine), "--anchor", str(of_settlement), **shared)
    until(lambda: verified.popen.poll() is not None, "the verification to end", 120)
    assert verified.stop() == 0, verified.errors
    assert f"the same up to block {last}." in "".join(verified.lines)
