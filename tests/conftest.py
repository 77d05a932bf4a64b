"""Fixtures that every test may use, and what happens where a real server is missing."""

import os
import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings
from selenium import webdriver

from scripts.services import SERVICES

# pytest-django has loaded tests.settings by now; processes that tests start run with the real ones.
os.environ["DJANGO_SETTINGS_MODULE"] = "exchange_site.settings"

ROOT = Path(__file__).resolve().parents[1]
ADDRESSES = {
    "ENGINE_COMMAND_ADDRESS": "tcp://127.0.0.1:{}",
    "ENGINE_BLOCK_ADDRESS": "tcp://127.0.0.1:{}",
    "ENGINE_RETRANSMIT_ADDRESS": "tcp://127.0.0.1:{}",
    "ENGINE_HTTP_ADDRESS": "127.0.0.1:{}",
    "SETTLEMENT_HTTP_ADDRESS": "127.0.0.1:{}",
    "WEB_ADDRESS": "127.0.0.1:{}",
}
missing_services: Counter[str] = Counter()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `services("name")` runs where the servers are there."""
    for marker in item.iter_markers("services"):
        for name in marker.args:
            reason = SERVICES[name].missing()
            if reason and os.environ.get("REQUIRE_SERVICES") == "1":
                pytest.fail(f"{name}: {reason}; REQUIRE_SERVICES=1 does not let it be skipped", pytrace=False)
            if reason:
                missing_services[name] += 1
                pytest.skip(f"{name}: {reason}; `make services` installs it")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, tests in sorted(missing_services.items()):
        terminalreporter.write_line(f"{name}: missing, {tests} tests were skipped")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@pytest.fixture(scope="session")
def lobster_sample() -> Path:
    """An hour of real NASDAQ messages, which is not ours to publish. Skips where there is none."""
    named = os.environ.get("LOBSTER_SAMPLE")
    found = [Path(named)] if named else sorted((ROOT / "tests" / "data").glob("nasdaq_*.csv.gz"))
    found = found or sorted(ROOT.glob("../*/data/nasdaq_*.csv.gz"))
    if not found:
        missing_services["NASDAQ messages"] += 1
        pytest.skip("no NASDAQ messages here: name a file in LOBSTER form with LOBSTER_SAMPLE")
    return found[0]


@pytest.fixture
def free_port() -> Callable[[], int]:
    return lambda: free_ports(1)[0]


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Path:
    """A DATA_DIR of this test's own, in this process."""
    folder = tmp_path / "data"
    folder.mkdir()
    settings.DATA_DIR = folder
    settings.SECRET_KEY_FILE = folder / "secret-key"
    settings.ADMIN_PASSWORD_FILE = folder / "admin-password"
    settings.CELERY_FOLDER = folder / "celery"
    return folder


@pytest.fixture
def process_environment(tmp_path: Path) -> dict[str, str]:
    """The environment of processes that a test starts: a DATA_DIR and ports of their own."""
    ports = free_ports(len(ADDRESSES))
    addresses = {name: form.format(port) for (name, form), port in zip(ADDRESSES.items(), ports, strict=True)}
    folder = tmp_path / "process-data"
    folder.mkdir()
    return {**os.environ, **addresses, "DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium. Mark the test `services("browser")`."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--window-size=1440,1000", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:  # its sandbox refuses to run as root
        options.add_argument("--no-sandbox")
    # Naming the driver keeps Selenium from looking for one on the network.
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
