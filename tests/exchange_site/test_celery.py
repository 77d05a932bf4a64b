"""Background work without any server: files in DATA_DIR carry the tasks."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.contrib.sessions.models import Session
from pytest_django import Settings

from exchange_site import celery, tasks

WORKER = ["celery", "--app", "exchange_site.celery", "--quiet", "worker", "--pool", "solo", "--without-mingle"]


def test_the_embedded_broker_lives_in_the_data_folder(data_dir: Path) -> None:
    celery.make_broker_folders()
    celery.make_broker_folders()

    assert sorted(folder.name for folder in (data_dir / "celery").iterdir()) == ["control", "queue"]


def test_redis_needs_no_folders_for_messages(data_dir: Path, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:6379/0"

    celery.make_broker_folders()

    assert list((data_dir / "celery").iterdir()) == []


def test_nothing_but_json_is_read_from_a_message() -> None:
    assert celery.app.conf.accept_content == ("json",)
    assert celery.app.conf.task_serializer == "json"


def test_everything_on_the_schedule_is_a_task_that_exists() -> None:
    celery.app.loader.import_default_modules()

    for entry in celery.app.conf.beat_schedule.values():
        assert entry["task"] in celery.app.tasks
        assert find_spec(entry["task"].rpartition(".")[0])


@pytest.mark.django_db
def test_expired_sessions_are_swept_and_others_stay() -> None:
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
def test_a_task_sent_by_one_process_is_done_by_another(
    worker: "subprocess.Popen[str]", process_environment: dict[str, str]
) -> None:
    send = "import exchange_site.celery; from exchange_site.tasks import clear_expired_sessions as t; t.delay()"
    subprocess.run([sys.executable, "-c", send], env=process_environment, check=True)

    assert worker.stderr is not None
    assert any("clear_expired_sessions" in line and "succeeded" in line for line in worker.stderr)
