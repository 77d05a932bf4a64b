"""The locks on DATA_DIR and on the store: one process has them. That of the store survives an outage."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connections
from django.db.backends.utils import CursorWrapper
from pytest_django import DjangoDbBlocker

from settlement import lock
from settlement.errors import AlreadyRunning, CannotRun
from tests.matching.small_exchange import until
from tests.settlement.file_stores import ALIAS, store_in


def on_postgresql(test: Callable[..., None]) -> Callable[..., None]:
    marked: Callable[..., None] = pytest.mark.django_db(databases=["default", "postgres"])(test)
    return pytest.mark.services("postgres")(marked)  # type: ignore[no-any-return]


TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s"


def end_lock_connections() -> None:
    """What a restart of the server does to the lock."""
    with connections["postgres"].cursor() as cursor:
        cursor.execute(TERMINATE, [lock.ADVISORY_KEY])


def is_waited_for(cursor: CursorWrapper) -> bool:
    cursor.execute("SELECT count(*) FROM pg_locks WHERE objid = %s AND NOT granted", [lock.ADVISORY_KEY])
    (count,) = cursor.fetchone()
    return int(count) > 0


@pytest.fixture
def checked_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "CHECK_S", 0.0)


def test_a_second_process_is_refused_until_the_first_one_ends(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with lock.exclusive(folder), pytest.raises(AlreadyRunning, match="stop it first"), lock.exclusive(folder):
        pytest.fail("locked twice")
    with lock.exclusive(folder):
        pass


def test_a_folder_that_is_a_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.touch()
    with pytest.raises(CannotRun, match=r"settlement\.lock cannot be opened: File exists\."), lock.exclusive(file):
        pytest.fail("locked a file")


def test_a_file_store_has_one_owner(tmp_path: Path, django_db_blocker: DjangoDbBlocker) -> None:
    with store_in(tmp_path / "store.sqlite3", django_db_blocker):
        with lock.of_store(ALIAS) as held:
            held.check()
            owner = r"the store .*store.sqlite3 \(settlement on .*, process \d+\)"
            with pytest.raises(AlreadyRunning, match=owner), lock.of_store(ALIAS):
                pass
        with lock.of_store(ALIAS):
            pass


@on_postgresql
def test_a_postgresql_store_has_one_owner() -> None:
    with lock.of_store("postgres"):
        owner = r"\(settlement on .*, process \d+\): stop it first"
        with pytest.raises(AlreadyRunning, match=owner), lock.of_store("postgres"):
            pass
    with lock.of_store("postgres"):
        pass


@on_postgresql
def test_a_lock_that_its_owner_is_just_giving_backis_waited_for() -> None:
    owner, watcher = (connections.create_connection("postgres") for _ in range(2))
    for connection in (owner, watcher):
        connection.inc_thread_sharing()
    with owner.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [lock.ADVISORY_KEY])

    def end_the_owner_when_another_waits() -> None:
        with watcher.cursor() as cursor:
            until(lambda: is_waited_for(cursor), "a second process that waits for the lock")
        watcher.close()
        owner.close()

    thread = threading.Thread(target=end_the_owner_when_another_waits)
    thread.start()
    try:
        with lock.of_store("postgres"):
            pass
    finally:
        thread.join()


@on_postgresql
def test_it_is_taken_again_after_an_outage(checked_always: None) -> None:
    with lock.of_store("postgres") as held:
        end_lock_connections()
        held.check()
        with pytest.raises(AlreadyRunning), lock.of_store("postgres"):
            pass


@on_postgresql
def test_an_owner_that_lost_it_to_another_during_an_outage_ends(checked_always: None) -> None:
    with lock.of_store("postgres") as held:
        end_lock_connections()
        with lock.of_store("postgres"), pytest.raises(AlreadyRunning):
            held.check()


@on_postgresql
def test_an_outage_that_continues_ends_nothing(checked_always: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with lock.of_store("postgres") as held:
        settings = held._connection.settings_dict  # type: ignore[attr-defined]
        end_lock_connections()
        monkeypatch.setitem(settings, "PORT", "1")
        held.check()
        monkeypatch.undo()
