"""An hour of NASDAQ messages is converted, submitted, matched, settled, verified and looked up."""

import json
from pathlib import Path
from typing import Any

import pytest

from exchange_site.operations.free_addresses import free_http_address
from tests.matching.small_exchange import until
from tests.system.conftest import Process, Start

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


def finished(process: Process, seconds: float = 300) -> Process:
    until(lambda: process.popen.poll() is not None, " ".join(process.arguments), seconds)
    process.stop()
    return process


@pytest.mark.acceptance("an hour of NASDAQ messages is submitted, matched, settled, verified and looked up")
def test_an_hour_of_nasdaq_messages_settles_without_differences(
    start: Start, lobster_sample: Path, tmp_path: Path
) -> None:
    commands = tmp_path / "hour.jsonl"
    assert finished(start("convert_lobster", str(lobster_sample), "--output", str(commands))).popen.returncode == 0
    engine = start("run_engine").wait_until_ready()
    shared: dict[str, Any] = {
        "data_dir": engine.data_dir,
        **engine.stream_settings,
        "SETTLEMENT_HTTP_ADDRESS": free_http_address(),
    }
    start("run_settlement", **shared)
    submitted = json.loads(finished(start("submit", str(commands), **shared)).lines[-1])
    assert submitted["sent"] == submitted["accepted"] + submitted["rejected"] > 80_000
    assert finished(start("reconcile", **shared)).popen.returncode == 0

    verification = finished(start("verify_settlement", "--json", **shared))
    assert verification.popen.returncode == 0
    found = json.loads("".join(verification.lines))
    assert found["ok"]
    assert found["trades"] > 4_000
    listed = finished(start("list_trades", "--from-sequence", "1", "--to-sequence", "1000000", "--json", **shared))
    assert len(json.loads("".join(listed.lines))) == found["trades"]
