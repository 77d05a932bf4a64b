"""Background tasks without a server: the broker is a folder in DATA_DIR."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session
from django.db import OperationalError
from pytest_django import Settings
from structlog.testing import capture_logs

from exchange_site import celery, tasks
from settlement import tasks as settlement_tasks
from settlement.audit import reconciliation
from settlement.errors import NotBuiltIn
from settlement.models import ReconciliationRun
from settlement.stores.base import Store
from settlement.tasks import DEADLINE_S
from tests.matching.small_exchange import leader, plan

WORKER = ["celery", "--app", "exchange_site.celery", "--quiet", "worker", "--pool", "solo", "--without-mingle"]


def test_the_embedded_broker_lives_in_the_data_folder(data_dir: Path) -> None:
    celery.make_broker_folders()
    celery.make_broker_folders()

    assert sorted(folder.name for folder in (data_dir / "celery").iterdir()) == ["control", "queue"]


def test_redis_needs_no_folders_for_messages(data_dir: Path, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:6379/0"

    celery.make_broker_folders()

    assert list((data_dir / "celery").iterdir()) == []


def test_a_unix_socket_url_is_translated_for_the_broker(process_environment: dict[str, str]) -> None:
    show = "from exchange_site.celery import app; app.connection_for_write().transport; print(app.conf.broker_url)"
    environment = {**process_environment, "REDIS_URL": "unix:///run/redis.sock"}
    done = subprocess.run([sys.executable, "-c", show], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "redis+socket:///run/redis.sock\n"


def test_messages_are_json_only() -> None:
    assert celery.app.conf.accept_content == ("json",)
    assert celery.app.conf.task_serializer == "json"


def test_everything_on_the_schedule_is_a_task_that_exists() -> None:
    celery.app.loader.import_default_modules()

    for entry in celery.app.conf.beat_schedule.values():
        assert entry["task"] in celery.app.tasks
        assert find_spec(entry["task"].rpartition(".")[0])


def test_frequent_tasks_expire() -> None:
    for entry in celery.app.conf.beat_schedule.values():
        if entry["schedule"] < 86_400:
            assert entry["options"]["expires"] <= entry["schedule"]
    assert celery.app.conf.beat_schedule["reconcile"]["schedule"] == 60
    assert 3 * DEADLINE_S < 60  # connecting, the engine's state, the projection


@pytest.mark.django_db
def test_reconciliation_compares_a_running_engine_with_the_store(settings: Settings) -> None:
    with leader(plan()) as engine:
        settings.ENGINE_COMMAND_ADDRESS = engine.commands
        settlement_tasks.reconcile()
        settlement_tasks.reconcile("operator")

    later, first = ReconciliationRun.objects.all()
    assert (first.ok, first.error, first.block_number, first.source) == (True, None, 0, "schedule")
    assert later.source == "operator"


@pytest.mark.django_db
def test_reconciliation_without_an_engine_records_the_error(
    settings: Settings, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement_tasks, "DEADLINE_S", 0.1)
    settings.ENGINE_COMMAND_ADDRESS = f"tcp://127.0.0.1:{free_port()}"

    settlement_tasks.reconcile()

    run = ReconciliationRun.objects.get()
    assert not run.ok
    assert "No engine answers" in (run.error or "")


@pytest.mark.django_db
def test_reconciliation_with_an_unavailable_store_records_the_error(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Store:
        raise NotBuiltIn("That store is not built in.")

    monkeypatch.setattr(settlement_tasks, "_store", missing)
    with leader(plan()) as engine:
        settings.ENGINE_COMMAND_ADDRESS = engine.commands
        settlement_tasks.reconcile()

    assert ReconciliationRun.objects.get().error == "That store is not built in."


def test_an_operators_run_is_sent_as_a_message_that_expires() -> None:
    celery.make_broker_folders()
    with celery.app.connection_for_write() as connection:
        queue = connection.SimpleQueue("celery")
        queue.clear()
        settlement_tasks.reconcile_soon()
        message = queue.get(block=True, timeout=10)
        message.ack()
        queue.close()

    assert message.headers["task"] == "settlement.tasks.reconcile"
    assert message.headers["expires"] is not None
    assert message.payload[0] == ["operator"]


@pytest.mark.django_db
def test_a_sweep_without_its_tables_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked() -> int:
        raise OperationalError("database is locked")

    settlement_tasks.sweep()
    monkeypatch.setattr(reconciliation, "delete_old_runs", locked)
    with capture_logs() as lines:
        settlement_tasks.sweep()
    assert lines == [
        {
            "event": "settlement.database_write_failed",
            "log_level": "error",
            "task": "sweep",
            "error": "database is locked",
        }
    ]


@pytest.mark.django_db
def test_only_expired_sessions_are_deleted() -> None:
    now = datetime.now(tz=UTC)
    for key, expires in (("old", now - timedelta(days=1)), ("new", now + timedelta(days=1))):
        Session.objects.create(session_key=key, session_data="", expire_date=expires)

    tasks.clear_expired_sessions()
    tasks.clear_expired_sessions()

    assert [session.session_key for session in Session.objects.all()] == ["new"]


@pytest.fixture
def worker(process_environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], env=process_environment, check=True)
    process = subprocess.Popen(
        [sys.executable, "-m", *WORKER],
        env=process_environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.terminate()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


@pytest.mark.processes
@pytest.mark.timeout(60)
def test_a_task_sent_by_one_process_runs_in_another(
    worker: "subprocess.Popen[str]", process_environment: dict[str, str]
) -> None:
    send = "import exchange_site.celery; from exchange_site.tasks import clear_expired_sessions as t; t.delay()"
    subprocess.run([sys.executable, "-c", send], env=process_environment, check=True)

    assert worker.stderr is not None
    assert any("clear_expired_sessions" in line and "succeeded" in line for line in worker.stderr)
