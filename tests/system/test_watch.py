"""The web tells within seconds that settlement was stopped or killed, and that it is back."""

import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange_site.operations.free_addresses import free_http_address
from tests.matching.small_exchange import until
from tests.system.conftest import Process, Start
from tests.system.forking_site import Program
from tests.system.test_store_away import ready

NOTICED_S = 60
"""Ten seconds on an idle machine."""

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.fixture
def settlement(start: Start, tmp_path: Path) -> Process:
    return start("run_settlement", SETTLEMENT_HTTP_ADDRESS=free_http_address())


@pytest.fixture
def web(settlement: Process, process_environment: dict[str, str]) -> Iterator[str]:
    """The address of a web that has seen settlement live."""
    environment = {**process_environment, "DATA_DIR": settlement.environment["DATA_DIR"]}
    program = Program(
        ["-m", "gunicorn", "--config", "exchange_site/gunicorn_conf.py", "exchange_site.asgi"], environment
    )
    address = environment["WEB_ADDRESS"]
    try:
        until(lambda: settlement_is_fine(address), "settlement's heartbeat", NOTICED_S)
        yield address
    finally:
        program.stop()


def settlement_is_fine(address: str) -> bool:
    return ready(address)[1].get("settlement") is True


def critical(address: str) -> set[str]:
    """The kinds of the critical alarms that the web exports."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    return set(re.findall(r'settlement_alarm\{kind="(\w+)",severity="critical"\} 1\.0', metrics))


def test_a_stopped_and_a_killed_settlement_are_critical_until_it_is_back(
    start: Start, settlement: Process, web: str
) -> None:
    settlement.popen.send_signal(signal.SIGSTOP)
    until(lambda: "settlement_silent" in critical(web), "the alarm of a stopped settlement", NOTICED_S)
    status, checks = ready(web)
    assert (status, checks["settlement"]) == (200, False)
    settlement.popen.send_signal(signal.SIGCONT)
    until(lambda: "settlement_silent" not in critical(web), "the end of the alarm", NOTICED_S)

    settlement.stop(signal.SIGKILL)
    until(lambda: "settlement_silent" in critical(web), "the alarm of a killed settlement", NOTICED_S)
    start(
        "run_settlement",
        data_dir=Path(settlement.environment["DATA_DIR"]),
        SETTLEMENT_HTTP_ADDRESS=free_http_address(),
    )
    until(lambda: settlement_is_fine(web), "the end of the alarm", NOTICED_S)
