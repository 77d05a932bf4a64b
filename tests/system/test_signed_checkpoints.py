"""Honest processes never contradict their checkpoints, whatever they lose."""

import json
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_http_address
from matching.workloads.btc_usd import DEFINITIONS
from tests.attacks.conftest import Site
from tests.matching.small_exchange import deposit, until
from tests.system.conftest import DATABASE, Process, Start

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


def ended(process: Process) -> str:
    """Standard output of a program that ends by itself and without an error."""
    until(lambda: process.popen.poll() is not None, f"{process.arguments[0]} to end", 120)
    assert process.stop() == 0, process.errors
    return "".join(process.lines)


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
    text = ended(start("verify_settlement", "--anchor", str(of_engine), "--anchor", str(of_settlement), **shared))
    assert f"the same up to block {last}." in text


def test_a_follower_signs_and_goes_on_signing_after_its_promotion(start: Start, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    settings = {"PLAIN_SOCKETS": "false", "CHECKPOINT_PLACES": str(evidence), "CHECKPOINT_BLOCKS": "1"}
    of_leader, of_follower = evidence / "engine-local.jsonl", evidence / "follower-local.jsonl"
    with ExitStack() as opened:
        first = Site(start("run_engine", **settings).wait_until_ready(), opened)
        folder = first.engine.data_dir
        settings |= {"DATABASE_URL": f"sqlite:///{folder / DATABASE}"}
        other = tmp_path / "other"
        other.mkdir(mode=0o700)
        shutil.copytree(folder / "keys", other / "keys")
        follower = start("run_engine", "--follow", first.commands, data_dir=other, **settings).wait_until_ready()
        second = Site(follower, opened)
        shared: dict[str, Any] = {**settings, **first.engine.stream_settings, "data_dir": folder}
        first.client().call(DEFINITIONS)
        settlement = settle(start, first, shared)
        stored = first.block()
        until(lambda: stored in signed_blocks(of_leader), "the leader to sign", 60)
        until(lambda: stored in signed_blocks(of_follower), "the follower to sign", 60)
        assert settlement.stop() == 0
        first.engine.stop(signal.SIGKILL)
        promoted = ("promote_engine", "--force", "--address", second.commands)
        ended(start(*promoted, data_dir=other, **settings))
        deposits(second, "promoted")
        settlement = settle(start, second, shared)
        last = second.block()
        until(lambda: last in signed_blocks(of_follower), "the new leader to sign", 60)
        for process in (settlement, follower):
            assert process.stop() == 0
    files = [argument for file in sorted(evidence.iterdir()) for argument in ("--anchor", str(file))]
    assert len(files) == 6
    assert f"the same up to block {last}." in ended(start("verify_settlement", *files, **shared))
