"""Shared fixtures, and the handling of missing servers."""

import os
import re
import secrets
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import packages_distributions
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest
from packaging.utils import canonicalize_name
from pytest_django import Settings
from selenium import webdriver

from exchange_site.operations.free_addresses import FIRST_PORT, LAST_PORT, free_addresses, free_ports, use_range
from scripts.services import SERVERS, SERVICES, Running, Server
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.scylla.tables.schema import statements
from settlement.stores.sql.store import SqlStore
from tests.acceptance import note_what_it_proves, table

ROOT = Path(__file__).resolve().parents[1]


def packages(requirements: str) -> set[str]:
    """Names of the packages that a requirements file pins."""
    lines = (ROOT / requirements).read_text(encoding="utf-8")
    return {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", lines, re.MULTILINE)}


def modules_for_tests_only() -> list[str]:
    """Names of the modules of packages that only requirements-dev.txt lists."""
    hidden = packages("requirements-dev.txt") - packages("requirements.txt")
    return [
        name for name, given in packages_distributions().items() if {canonicalize_name(one) for one in given} <= hidden
    ]


MEASURED_TESTS = ("matching", "settlement", "ledger", "archive")
NASDAQ_HOUR = "nasdaq_*.csv.gz"
_MISSING = re.compile("Skipped: missing (.+?): ")
scylla_shards = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, help="seed of random tests, as printed by a failed run")


def pytest_configure(config: pytest.Config) -> None:
    """Prepares a process that runs tests; not the controller of pytest-xdist, which distributes them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell without job control has started the tests in the background. The programs that they start, and
        # interrupt, would ignore the signal too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(config, "workerinput"):
        use_share_of_ports(int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"])
    elif config.getoption("numprocesses"):
        return
    # pytest-django has already loaded tests.settings. Processes that tests start use the real settings, and only
    # packages that an operator has installed.
    os.environ["DJANGO_SETTINGS_MODULE"] = "exchange_site.settings"
    os.environ["PYTHONPATH"] = str(ROOT / "tests" / "installed")
    os.environ["HIDDEN_MODULES"] = ",".join(modules_for_tests_only())


def use_share_of_ports(worker: int, workers: int) -> None:
    """Each worker gets its own ports; the upper half is reserved for programs that tests start."""
    share = (LAST_PORT - FIRST_PORT) // 2 // workers
    use_range(FIRST_PORT + worker * share, FIRST_PORT + (worker + 1) * share - 1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the longest files first, so that no worker has to run one at the end."""
    for item in items:
        note_what_it_proves(item)
        if not is_measured(item):
            item.add_marker("no_cover")
    items.sort(key=lambda item: "system" not in item.path.parts)


def is_measured(item: pytest.Item) -> bool:
    """Whether `make coverage` counts what this test reaches.

    Measuring makes Python code two to three times slower, so tests that reach nothing new are not measured: long tests,
    which repeat what others do, and tests of settlement that run on the SQL store too. Those of the archive count,
    because they release rows from stores and read them back.
    """
    area, *folders = item.path.relative_to(ROOT / "tests").parts
    if area not in MEASURED_TESTS or item.get_closest_marker("slow"):
        return False
    return area in ("matching", "ledger") or "stores" in folders or item.get_closest_marker("services") is None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test marked `services("name")` if a server is missing."""
    for marker in item.iter_markers("services"):
        for name in marker.args:
            if reason := SERVICES[name].missing():
                lacks(name, f"{reason}; `make services` starts it")


def lacks(name: str, reason: str) -> NoReturn:
    """Skips the current test, which the summary counts; fails it with REQUIRE_SERVICES=1."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(f"{name}: {reason}; REQUIRE_SERVICES=1 forbids skipping", pytrace=False)
    pytest.skip(f"missing {name}: {reason}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    found = [report for reports in terminalreporter.stats.values() for report in reports]
    reports = [report for report in found if isinstance(report, pytest.TestReport)]
    for name, tests in sorted(Counter(filter(None, map(missing, reports))).items()):
        terminalreporter.write_line(f"{name}: missing, {tests} tests were skipped")
    for line in table(reports):
        terminalreporter.write_line(line)


def missing(report: pytest.TestReport) -> str:
    """Name of the missing service of a skipped test, else "". Reports can come from parallel workers."""
    reason = report.longrepr[2] if report.skipped and isinstance(report.longrepr, tuple) else ""
    named = _MISSING.match(reason)
    return named[1] if named else ""


@pytest.fixture(scope="session")
def lobster_sample() -> Path:
    """An hour of real NASDAQ messages: the file named by LOBSTER_SAMPLE, or one from a data folder.

    They cannot be published, so no command downloads them: without a file the test is skipped, even with
    REQUIRE_SERVICES=1.
    """
    if named := os.environ.get("LOBSTER_SAMPLE"):
        if not Path(named).is_file():
            pytest.fail(f"LOBSTER_SAMPLE names {named}, which is not a file", pytrace=False)
        return Path(named)
    found = [*sorted((ROOT / "tests" / "data").glob(NASDAQ_HOUR)), *sorted(ROOT.glob(f"../*/data/{NASDAQ_HOUR}"))]
    if not found:
        pytest.skip(
            f"missing NASDAQ messages: no tests/data/{NASDAQ_HOUR} here; LOBSTER_SAMPLE may name another LOBSTER file"
        )
    return found[0]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A new seed in each run, printed if the test fails; `--seed` repeats an earlier one."""
    given = request.config.getoption("--seed")
    drawn: int = secrets.randbelow(1 << 32) if given is None else given
    print(f"seed {drawn}; repeat with: pytest --seed {drawn} {request.node.nodeid}")  # noqa: T201
    return drawn


@pytest.fixture
def free_port() -> Callable[[], int]:
    return lambda: free_ports(1)[0]


@pytest.fixture
def data_dir(tmp_path: Path, settings: Settings) -> Path:
    """A DATA_DIR for this test, in this process."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    settings.DATA_DIR = folder
    settings.SECRET_KEY_FILE = folder / "secret-key"
    settings.ADMIN_PASSWORD_FILE = folder / "admin-password"
    settings.CELERY_FOLDER = folder / "celery"
    settings.PROGRAM_LOG_FOLDER = folder / "logs"
    return folder


@pytest.fixture
def process_environment(tmp_path: Path) -> dict[str, str]:
    """Environment of processes that a test starts, with their own DATA_DIR and ports."""
    folder = tmp_path / "process-data"
    folder.mkdir(mode=0o700)
    return {**os.environ, **free_addresses(), "DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="session")
def cassandra() -> Running:
    """The shared Cassandra: use your own keyspace. Mark the test `services("cassandra")`; likewise for the others."""
    return _shared("cassandra")


@pytest.fixture(scope="session")
def scylla_access(cassandra: Running) -> Iterator[Access]:
    """A keyspace with tables for this test run."""
    access = Access((cassandra.host,), cassandra.port, f"settlement_{os.getpid()}")
    session = Session(access)
    for statement in statements(access.keyspace, access.replication):
        session.run_plain(statement)
    yield access
    session.run_plain(f"DROP KEYSPACE {access.keyspace}")


@pytest.fixture
def new_scylla(scylla_access: Access) -> Callable[[], ScyllaStore]:
    """Creates empty stores, each on its own shard, so that no table has to be emptied."""
    return lambda: ScyllaStore(scylla_access, SqlStore(), shard=next(scylla_shards))


@pytest.fixture(scope="session")
def kafka() -> Running:
    """The shared Kafka: use your own topics."""
    return _shared("kafka")


@pytest.fixture(scope="session")
def redis() -> Running:
    """The shared Redis: use your own key prefix."""
    return _shared("redis")


@pytest.fixture(scope="session")
def postgres() -> Running:
    """The shared PostgreSQL: user `postgres`, no password; use your own database."""
    return _shared("postgres")


@pytest.fixture(scope="session")
def minio() -> Running:
    """The shared MinIO: use your own bucket."""
    return _shared("minio")


def _shared(name: str) -> Running:
    running = SERVERS[name].running()
    assert running is not None, f'the test lacks @pytest.mark.services("{name}")'
    return running


@pytest.fixture
def launch() -> Iterator[Callable[[Server], Running]]:
    """Starts a server only for this test, which may stop, freeze, kill and restart it; it ends with the test.

    Mark the test with the server's name: `make services` installs its programs.
    """
    with ExitStack() as ends:

        def launch_one(server: Server) -> Running:
            # Not pytest's folder, which only root can enter: PostgreSQL runs under its own account.
            folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix=f"{server.name}-")))
            folder.chmod(0o755)
            ends.callback(lambda: kill_what_runs_in(server, folder))
            return server.launch(folder)

        yield launch_one


def kill_what_runs_in(server: Server, folder: Path) -> None:
    """Kills the server in this folder, even if the test has restarted it."""
    if running := server.running_in(folder):
        running.kill()


@pytest.fixture(scope="session")
def browser() -> Iterator[webdriver.Chrome]:
    """A headless Chromium. Mark the test `services("browser")`."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("--headless=new", "--window-size=1440,1000", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    if os.geteuid() == 0:  # Chromium's sandbox does not run as root
        options.add_argument("--no-sandbox")
    # With an explicit driver, Selenium does not download one.
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
