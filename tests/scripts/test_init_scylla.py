"""The shell scripts that set up ScyllaDB, with the real cqlsh and a real Cassandra."""

import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster, NoHostAvailable, Session
from cassandra.policies import RoundRobinPolicy

from scripts.services import Cassandra, Cqlsh, Running, Server
from tests.matching.small_exchange import until

ROOT = Path(__file__).parents[2]
KEYSPACE = "init_scylla_test"
TABLES = (ROOT / "schema" / "settlement_schema.cql").read_text().count("CREATE TABLE ")

needs_servers = pytest.mark.services("cassandra", "cqlsh")


def run(script: str, *arguments: str, path: str = os.defpath, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the script with only these environment variables."""
    return subprocess.run(
        ["sh", str(ROOT / script), *arguments],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


def init_scylla(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Cqlsh().program.parent}:{os.defpath}"
    return run("scripts/init_scylla.sh", *arguments, path=path, **environment)


def roles(server: Running, **passwords: str) -> subprocess.CompletedProcess[str]:
    path = f"{Cqlsh().program.parent}:{os.defpath}"
    where = {"SCYLLA_HOST": server.host, "SCYLLA_PORT": str(server.port)}
    return run("deploy/scylla/roles.sh", path=path, **where, **passwords)


def connect(server: Running, user: str = "", password: str = "") -> tuple[Cluster, Session]:
    auth = PlainTextAuthProvider(user, password) if user else None
    cluster = Cluster([server.host], server.port, auth_provider=auth, load_balancing_policy=RoundRobinPolicy())
    return cluster, cluster.connect()


def can_log_in(server: Running, user: str, password: str) -> bool:
    try:
        connect(server, user, password)[0].shutdown()
    except NoHostAvailable:
        return False
    return True


@pytest.fixture
def session(cassandra: Running) -> Iterator[Session]:
    cluster, session = connect(cassandra)
    yield session
    session.execute(f"DROP KEYSPACE IF EXISTS {KEYSPACE}", timeout=60)
    cluster.shutdown()


@needs_servers
def test_keyspace_and_tables_are_created_and_a_second_run_changes_nothing(cassandra: Running, session: Session) -> None:
    for _ in range(2):
        made = init_scylla("--port", str(cassandra.port), "--keyspace", KEYSPACE)

        assert made.returncode == 0, made.stderr
        assert made.stdout == f"keyspace {KEYSPACE} at 127.0.0.1:{cassandra.port} has its tables\n"
    found = session.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s", (KEYSPACE,)).all()
    assert len(found) == TABLES


@needs_servers
def test_the_replication_can_be_given_in_the_form_of_the_settings(cassandra: Running, session: Session) -> None:
    written = '{"class": "NetworkTopologyStrategy", "datacenter1": 1}'
    made = init_scylla(SCYLLA_PORT=str(cassandra.port), SCYLLA_KEYSPACE=KEYSPACE, SCYLLA_REPLICATION=written)

    assert made.returncode == 0, made.stderr
    query = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = %s"
    assert session.execute(query, (KEYSPACE,)).one().replication["class"].endswith("NetworkTopologyStrategy")


@needs_servers
def test_an_error_of_the_server_is_one_sentence(cassandra: Running, session: Session) -> None:
    options = ("--keyspace", KEYSPACE, "--replication", "{'class': 'NoStrategy'}")
    refused = init_scylla("--port", str(cassandra.port), *options)

    assert refused.returncode == 1
    assert refused.stderr.startswith("init_scylla.sh: the server refused the schema: ")
    assert "NoStrategy" in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.services("cqlsh")
def test_an_unreachable_server_is_one_sentence(free_port: Callable[[], int]) -> None:
    port = free_port()
    refused = init_scylla("--port", str(port))

    assert refused.returncode == 2
    assert refused.stderr.startswith(f"init_scylla.sh: 127.0.0.1:{port} does not answer, or refuses the login: ")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--port", "many"], "--port is a number, not 'many'."),
        (["--keyspace", "1st"], "'1st' cannot be the name of a keyspace: "),
        (["--keyspace", "a; DROP TABLE b"], "cannot be the name of a keyspace: "),
        (["--replication", "3"], "--replication is a map such as "),
        (["--replication", "{}; DROP KEYSPACE a; {}"], "--replication is one map, without a semicolon."),
        (["--user", "exchange"], "the password of exchange has to be in SCYLLA_PASSWORD."),
        (["--hots", "here"], "there is no option --hots; --help lists them."),
        (["--host"], "--host needs a value."),
    ],
)
def test_a_wrong_option_is_one_sentence(arguments: list[str], sentence: str, path_with_a_fake_cqlsh: str) -> None:
    refused = run("scripts/init_scylla.sh", *arguments, path=path_with_a_fake_cqlsh)

    assert refused.returncode == 2
    assert sentence in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.fixture
def path_with_a_fake_cqlsh(tmp_path: Path) -> str:
    """A PATH with a fake cqlsh that fails the test if it is called."""
    program = tmp_path / "cqlsh"
    program.write_text("#!/bin/sh\necho called >&2\nexit 3\n")
    program.chmod(0o755)
    return f"{tmp_path}:{os.defpath}"


def test_a_missing_cqlsh_is_reported_with_how_to_install_it() -> None:
    refused = run("scripts/init_scylla.sh")

    assert refused.returncode == 2
    assert refused.stderr == (
        "init_scylla.sh: cqlsh is not installed: it comes with ScyllaDB and Cassandra, and as the Python package "
        "cqlsh.\n"
    )


# --- deploy/scylla/roles.sh --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class GuardedCassandra(Cassandra):
    """A server as in docker-compose.yml: login required, and accounts have only granted permissions."""

    authentication: bool = True

    def command(self, folder: Path, port: int) -> list[str]:
        command = super().command(folder, port)
        with (folder / "cassandra.yaml").open("a") as config:
            config.write("\nauthorizer: CassandraAuthorizer\n")
        return command


@needs_servers
@pytest.mark.slow
def test_a_new_server_gets_our_accounts_and_loses_the_default_account(
    launch: Callable[[Server], Running],
) -> None:
    server = launch(GuardedCassandra())
    first, second = ({"SCYLLA_ADMIN_PASSWORD": "adm1n", "SCYLLA_PASSWORD": secret} for secret in ("0ne", "tw0"))

    for passwords in (first, first, second):  # the second run changes nothing, the third sets another password
        made = roles(server, **passwords)
        assert made.returncode == 0, made.stderr

    # The server caches a password for two seconds.
    until(lambda: not can_log_in(server, "cassandra", "cassandra"), "the account that everybody knows to be gone")
    until(lambda: not can_log_in(server, "exchange", "0ne"), "the old password to be refused")
    assert init_scylla("--port", str(server.port), "--user", "exchange", SCYLLA_PASSWORD="tw0").returncode == 0
    cluster, session = connect(server, "exchange", "tw0")
    assert session.execute("SELECT number FROM exchange_settlement.engine_epochs").all() == []
    cluster.shutdown()


def test_a_password_must_consist_of_letters_and_digits() -> None:
    refused = run("deploy/scylla/roles.sh", SCYLLA_ADMIN_PASSWORD="fine", SCYLLA_PASSWORD="a'; --")

    assert refused.returncode == 2
    assert refused.stderr == "SCYLLA_ADMIN_PASSWORD and SCYLLA_PASSWORD must be letters and digits only.\n"
