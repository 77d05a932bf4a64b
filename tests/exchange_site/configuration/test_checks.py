"""Invalid settings are refused before anything starts, each with an id and a hint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as site
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from pytest_django import Settings

from exchange_site.configuration.check_tags import FOLDER, SETTINGS, WEB
from exchange_site.startup import set_up

STARTS = [SETTINGS, FOLDER]
"""What every process checks that writes."""


def ids(*tags: str) -> list[str | None]:
    found = checks.run_checks(tags=tags or STARTS, include_deployment_checks=WEB in tags)
    return [problem.id for problem in found]


def test_the_defaults_are_valid() -> None:
    assert ids() == []
    assert ids(WEB) == []


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ENGINE_COMMAND_ADDRESS", "127.0.0.1:5701", "exchange.E002"),
        ("ENGINE_BLOCK_ADDRESS", "tcp://127.0.0.1", "exchange.E002"),
        ("ENGINE_BLOCK_ADDRESS", "udp://127.0.0.1:5702", "exchange.E002"),
        ("ENGINE_RETRANSMIT_ADDRESS", "tcp://127.0.0.1:70000", "exchange.E002"),
        ("ENGINE_RETRANSMIT_ADDRESS", "ipc://", "exchange.E002"),
        ("WEB_ADDRESS", "8000", "exchange.E004"),
        ("ENGINE_HTTP_ADDRESS", "127.0.0.1:9701/metrics", "exchange.E004"),
        ("SETTLEMENT_HTTP_ADDRESS", "0.0.0.0:9702", "exchange.W001"),
        ("SETTLEMENT_HTTP_ADDRESS", "127.0.0.1:5701", "exchange.E005"),
        ("INPUT_LOG", "tape", "exchange.E006"),
        ("SETTLEMENT_STORE", "oracle", "exchange.E006"),
        ("LOG_FORMAT", "xml", "exchange.E006"),
        ("LOG_LEVEL", "LOUD", "exchange.E006"),
        ("ENABLE_LOCAL_WAL", True, "exchange.E007"),
        ("ENGINE_RING_BLOCKS", 0, "exchange.E008"),
        ("SETTLEMENT_BATCH_MS", -1, "exchange.E008"),
        ("ENGINE_SNAPSHOT_BLOCKS", -1, "exchange.E008"),
        ("ENGINE_SNAPSHOTS_KEPT", 0, "exchange.E008"),
        ("SCYLLA_PORT", 0, "exchange.E008"),
        ("SCYLLA_PORT", 65_536, "exchange.E008"),
        ("REDIS_URL", "redis://127.0.0.1:65536/0", "exchange.E009"),
        ("REDIS_URL", "redis://127.0.0.1:six/0", "exchange.E009"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092,127.0.0.1:65536", "exchange.E009"),
        ("KAFKA_BOOTSTRAP_SERVERS", "SASL_SSL://broker:0", "exchange.E009"),
        ("ENGINE_REPLICAS", ["tcp://127.0.0.1:5801"], "exchange.E014"),
        ("KAFKA_OPTIONS", {"acks": 1}, "exchange.E015"),
        ("KAFKA_OPTIONS", {"bootstrap.servers": "127.0.0.1:9092"}, "exchange.E015"),
        ("KAFKA_OPTIONS", {"ssl.ca.location": None}, "exchange.E015"),
        ("REDIS_URL", "amqp://localhost", "exchange.E009"),
        ("SCYLLA_KEYSPACE", "drop table", "exchange.E009"),
        ("SCYLLA_REPLICATION", {"dc1": 3}, "exchange.E009"),
        ("ALLOWED_HOSTS", ["*"], "exchange.E022"),
        ("ARCHIVE", "archive", "exchange.E027"),
        ("ARCHIVE", "s3://bucket/exchange?lock_days=7", "exchange.E027"),
        ("ARCHIVE_CATALOG", "oracle://localhost", "exchange.E027"),
        ("ARCHIVE_HOUR", 24, "exchange.E027"),
        ("ALARM_EMAILS", ["ops@exchange.example", "nobody"], "exchange.E040"),
        ("ALARM_EMAILS", ["ops@exchange.example"], "exchange.E040"),  # without EMAIL_URL
        ("ALARM_WEBHOOKS", ["https://hooks.example/a", "ftp://hooks.example"], "exchange.E041"),
        ("ALARM_WEBHOOKS", ["https://user:password@hooks.example/a"], "exchange.E041"),
        ("ALARM_NOTIFICATION_SEVERITY", "loud", "exchange.E042"),
        ("CHECKPOINT_PLACES", ["checkpoints"], "exchange.E024"),
        ("CHECKPOINT_PLACES", ["/evidence", "ftp://audit.example/"], "exchange.E024"),
        ("CHECKPOINT_PLACES", ["https://audit.example:port/"], "exchange.E024"),
        ("WEB_CLIENT_ADDRESS_HEADER", "X-Forwarded-For: yes", "exchange.E023"),
        ("LOGIN_FAILURES", 0, "exchange.E008"),
        ("SESSION_IDLE_MINUTES", 0, "exchange.E008"),
        ("SETTING_PROBLEMS", ["ENGINE_RING_BLOCKS must be a whole number, not 'many'."], "exchange.E001"),
    ],
)
def test_each_invalid_setting_has_its_id(settings: Settings, name: str, value: object, problem: str) -> None:
    setattr(settings, name, value)

    found = checks.run_checks(tags=STARTS)

    assert [one.id for one in found] == [problem]
    assert found[0].hint
    assert name.startswith("SETTING_") or name in str(found[0].msg)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCYLLA_PORT", 65_535),
        ("REDIS_URL", "rediss://:pass:word@[::1]:65535/0"),
        ("REDIS_URL", "redis://broker"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("KAFKA_BOOTSTRAP_SERVERS", "one:9092, SASL_SSL://two:65535,three,[::1]:9092"),
    ],
)
def test_all_forms_of_server_addresses_are_accepted(settings: Settings, name: str, value: object) -> None:
    setattr(settings, name, value)

    assert ids() == []


def test_the_hint_for_the_store_cassandra_names_scylla(settings: Settings) -> None:
    settings.SETTLEMENT_STORE = "cassandra"

    (found,) = checks.run_checks(tags=STARTS)
    assert found.hint == ("Use sql or scylla. Use scylla for Apache Cassandra too: both have the same protocol.")


def test_plain_sockets_are_for_this_machine_only(settings: Settings) -> None:
    settings.PLAIN_SOCKETS = True
    assert ids() == []

    settings.ENGINE_COMMAND_ADDRESS = "tcp://10.0.0.7:5701"
    (found,) = checks.run_checks(tags=[SETTINGS])
    assert found.id == "exchange.E003"
    assert "10.0.0.7" in str(found.msg)
    assert "PLAIN_SOCKETS is true" in str(found.msg)


@pytest.mark.parametrize("address", ["tcp://10.0.0.7:5701", "tcp://0.0.0.0:5701", "tcp://exchange.example:5701"])
def test_addresses_of_other_machines_need_keys(settings: Settings, address: str) -> None:
    settings.ENGINE_COMMAND_ADDRESS = address
    settings.PLAIN_SOCKETS = True
    assert ids() == ["exchange.E003"]

    settings.PLAIN_SOCKETS = False
    assert ids() == []


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:6001", "tcp://localhost:6001", "tcp://[::1]:6001", "ipc:///run/x"]
)
def test_local_addresses_are_accepted(settings: Settings, address: str) -> None:
    settings.ENGINE_COMMAND_ADDRESS = address

    assert ids() == []


def test_the_kafka_log_needs_servers(settings: Settings) -> None:
    settings.INPUT_LOG = "kafka"
    assert ids() == ["exchange.E009"]

    settings.KAFKA_BOOTSTRAP_SERVERS = "127.0.0.1:9092"
    assert ids() == []


@pytest.mark.parametrize("address", ["127.0.0.1:5801", "tcp://10.0.0.7:5801"])
def test_addresses_of_replicas_must_be_local_without_keys(settings: Settings, address: str) -> None:
    settings.INPUT_LOG, settings.KAFKA_BOOTSTRAP_SERVERS = "kafka", "127.0.0.1:9092"
    settings.ENGINE_REPLICAS = ["tcp://127.0.0.1:5801", "ipc:///run/x"]
    assert ids() == []

    settings.PLAIN_SOCKETS = True
    settings.ENGINE_REPLICAS = ["tcp://127.0.0.1:5801", address]
    assert ids() == ["exchange.E014"]


def test_kafka_options_may_hold_credentials_which_are_not_shown(settings: Settings) -> None:
    settings.KAFKA_OPTIONS = {"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "ssl.ca.location": "ca.pem"}
    assert ids() == []

    settings.KAFKA_OPTIONS = {"sasl.password": ["hunter2"]}
    (found,) = checks.run_checks(tags=STARTS)
    assert "sasl.password" in str(found.msg)
    assert "hunter2" not in f"{found.msg}{found.hint}"


def test_an_invalid_topic_name_is_refused(settings: Settings) -> None:
    settings.INPUT_LOG, settings.KAFKA_BOOTSTRAP_SERVERS = "kafka", "127.0.0.1:9092"
    settings.KAFKA_COMMAND_TOPIC = "no topic"
    assert ids() == ["exchange.E009"]


def test_a_data_folder_that_cannot_be_created_is_refused(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.DATA_DIR = tmp_path / "file" / "data"

    assert ids() == ["exchange.E010"]


def test_a_data_folder_is_created_for_this_account_only(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "new" / "data"

    assert ids() == []
    assert settings.DATA_DIR.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("inner", ["", "wal", "celery/queue"])
@pytest.mark.parametrize("mode", [0o755, 0o777, 0o750, 0o701])
def test_a_folder_that_others_can_enter_is_refused_with_the_command(
    settings: Settings, tmp_path: Path, inner: str, mode: int
) -> None:
    settings.DATA_DIR = tmp_path / "data folder"
    opened = settings.DATA_DIR / inner
    opened.mkdir(mode=0o700, parents=True)
    for folder in (settings.DATA_DIR, settings.DATA_DIR / "celery"):
        if folder.is_dir():
            folder.chmod(0o700)
    opened.chmod(mode)

    (found,) = checks.run_checks(tags=STARTS)

    assert found.id == "exchange.E020"
    assert str(opened) in found.msg
    assert found.hint == f"Run: chmod 700 '{opened}'"
    subprocess.run(found.hint.removeprefix("Run: "), shell=True, check=True)
    assert ids() == []


def test_one_command_closes_many_folders(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "data"
    for name in ("wal", "spill", "snapshots", "logs"):
        (settings.DATA_DIR / name).mkdir(parents=True)
        (settings.DATA_DIR / name).chmod(0o755)

    (found,) = checks.run_checks(tags=STARTS)

    assert found.hint == f"Run: chmod -R go-rwx {settings.DATA_DIR}"
    subprocess.run(found.hint.removeprefix("Run: "), shell=True, check=True)
    assert ids() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another account")
@pytest.mark.parametrize("planted", ["", "wal/0001.log", "settled_trades.csv"])
def test_files_of_another_account_are_refused(settings: Settings, tmp_path: Path, planted: str) -> None:
    settings.DATA_DIR = tmp_path / "data"
    file = settings.DATA_DIR / planted
    (settings.DATA_DIR / "wal").mkdir(mode=0o700, parents=True)
    settings.DATA_DIR.chmod(0o700)
    if planted:
        file.touch()
    os.chown(file, 65_534, 65_534)

    (found,) = checks.run_checks(tags=STARTS)

    assert found.id == "exchange.E020"
    assert found.msg.startswith(f"{file} belongs to another account (")


def test_a_link_to_a_folder_is_judged_by_the_folder(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "data"
    elsewhere = tmp_path / "fast-disk"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    settings.DATA_DIR.mkdir(mode=0o700)
    (settings.DATA_DIR / "wal").symlink_to(elsewhere)
    assert ids() == ["exchange.E020"]

    elsewhere.chmod(0o700)
    assert ids() == []


def test_the_folder_of_make_run_is_closed_to_others_at_the_start(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = settings.DEFAULT_DATA_DIR = tmp_path / "data"
    (settings.DATA_DIR / "wal").mkdir(parents=True)
    for folder in (settings.DATA_DIR, settings.DATA_DIR / "wal"):
        folder.chmod(0o755)

    assert ids() == []
    assert settings.DATA_DIR.stat().st_mode & 0o777 == 0o700
    assert (settings.DATA_DIR / "wal").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("address", ["0.0.0.0:8000", "[::]:8000", "10.0.0.7:8000", "exchange.example:8000"])
def test_debug_pages_are_refused_on_an_open_address(settings: Settings, address: str) -> None:
    settings.WEB_ADDRESS = address
    assert ids() == []

    settings.DEBUG = True
    assert ids() == ["exchange.E021"]

    settings.WEB_ADDRESS = "127.0.0.1:8000"
    assert ids() == []


def test_hosts_have_to_be_named(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["exchange.example", "*"]
    assert ids() == ["exchange.E022"]


@pytest.mark.parametrize(
    "key", ["0" * 64, "secret" * 10, "abcdefghi" * 5, "django-insecure-3(k@_w^c0f!x5t=m7p9z)q2v8r1n6b4d"]
)
def test_the_web_refuses_a_key_that_can_be_guessed_and_does_not_show_it(settings: Settings, key: str) -> None:
    settings.SECRET_KEY = key

    (found,) = checks.run_checks(tags=[WEB], include_deployment_checks=True)

    assert found.id == "exchange.E011"
    assert key not in f"{found.msg}{found.hint}"


def test_a_secret_of_api_keys_that_can_be_guessed_is_refused_and_not_shown(settings: Settings) -> None:
    settings.API_KEYS_SECRET = "secret" * 10

    (found,) = checks.run_checks(tags=[SETTINGS])

    assert found.id == "exchange.E026"
    assert settings.API_KEYS_SECRET not in f"{found.msg}{found.hint}"


@pytest.mark.parametrize("key", ["", "short"])
def test_the_web_needs_a_secret_key(settings: Settings, key: str) -> None:
    settings.SECRET_KEY = key

    assert ids(WEB) == ["exchange.E011"]
    assert ids() == []


def test_django_itself_refuses_an_empty_secret_key(settings: Settings) -> None:
    settings.SECRET_KEY = ""

    with pytest.raises(ImproperlyConfigured):
        _ = site.SECRET_KEY


def test_a_process_with_invalid_settings_exits_2_with_a_sentence_for_each(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.SETTLEMENT_STORE = "oracle"
    settings.ENGINE_BLOCK_COMMANDS = 0

    with pytest.raises(SystemExit) as ended:
        set_up()

    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "SETTLEMENT_STORE has the unknown value 'oracle'. Use sql or scylla. Use scylla for Apache Cassandra too: both "
        "have the same protocol. (exchange.E006)",
        "ENGINE_BLOCK_COMMANDS is 0. It must be 1 or more. (exchange.E008)",
    ]


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=site.BASE_DIR, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.mark.processes
def test_an_invalid_value_is_one_sentence_without_a_traceback() -> None:
    done = manage("check", ENGINE_RING_BLOCKS="many", DATABASE_URL="postgres//user:hunter2@host")

    assert done.returncode == 2
    assert "ENGINE_RING_BLOCKS must be a whole number, not 'many'." in done.stderr
    assert "DATABASE_URL must be sqlite:///FILE or postgres://USER:PASSWORD@HOST:PORT/NAME" in done.stderr
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.processes
def test_commands_that_sign_nothing_run_without_a_secret_key(tmp_path: Path) -> None:
    done = manage("check", SECRET_KEY="", DATA_DIR=str(tmp_path))

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.processes
def test_the_web_does_not_start_without_a_secret_key(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import exchange_site.asgi"],
        cwd=site.BASE_DIR,
        env={**os.environ, "SECRET_KEY": "", "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("SECRET_KEY is not set.")
