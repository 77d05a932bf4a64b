"""Locks, so that only one settlement process writes: one on DATA_DIR (trail, spill), one on the store.

Each lock ends with its process, however that ends. The store's lock is needed beside the other because two settlements
with folders of their own may be pointed at one store.
"""

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from django.db import Error as DatabaseError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from matching.storage.disk import make_folder
from settlement.errors import AlreadyRunning, CannotRun

NAME = "settlement.lock"
DATABASE_SUFFIX = ".settlement-lock"
ADVISORY_KEY = 0x5E771E
CHECK_S = 1.0

_WATCH_THE_CLIENT = (
    # The server notices in 20 s that the machine of a lock's owner is gone; the default is two hours.
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)
_OWNER = """
    SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND granted AND objid = %s AND database = (SELECT oid FROM pg_database
    WHERE datname = current_database())
"""


class StoreLock(Protocol):
    def check(self) -> None:
        """Called in every turn. Raises AlreadyRunning if the lock was lost to another process."""


class NeverLost:
    """A lock on a file; or none, for a store that has no lock."""

    def check(self) -> None:
        pass


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Held until the block ends or the process dies. Raises AlreadyRunning, CannotRun."""
    with _held(folder / NAME, str(folder)):
        yield


@contextmanager
def of_store(alias: str) -> Iterator[StoreLock]:
    """The lock of the SQL store in this database. Raises AlreadyRunning, CannotRun."""
    database = connections[alias]
    name = str(database.settings_dict["NAME"])
    if database.vendor == "sqlite":
        file = Path(name).resolve()
        with _held(file.with_name(file.name + DATABASE_SUFFIX), f"the store {file}"):
            yield NeverLost()
        return
    held = _AdvisoryLock(connections.create_connection(alias), f"the store in the database {name}")
    try:
        held.take()
        yield held
    finally:
        held.close()


@contextmanager
def _held(path: Path, what: str) -> Iterator[None]:
    try:
        make_folder(path.parent)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise CannotRun(f"{path} cannot be opened: {error.strerror}.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise _refusal(what, file.read()) from error
        file.truncate(0)
        file.write(_this_process())
        file.flush()
        yield


class _AdvisoryLock:
    """PostgreSQL releases it with the connection. After an outage it is taken again, unless another process has it."""

    def __init__(self, connection: BaseDatabaseWrapper, what: str) -> None:
        self._connection = connection
        self._what = what
        self._checked_at_s = time.monotonic()

    def take(self) -> None:
        """Raises AlreadyRunning; CannotRun if the server does not answer."""
        try:
            with self._connection.cursor() as cursor:
                for setting in _WATCH_THE_CLIENT:
                    cursor.execute(setting)
                cursor.execute("SELECT set_config('application_name', %s, false)", [_this_process()])
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [ADVISORY_KEY])
                if cursor.fetchone() == (True,):
                    return
                cursor.execute(_OWNER, [ADVISORY_KEY])
                owner = cursor.fetchone()
        except DatabaseError as error:
            raise CannotRun(f"The lock of {self._what} cannot be taken: {str(error).strip()}") from error
        raise _refusal(self._what, owner[0] if owner else "")

    def check(self) -> None:
        if time.monotonic() - self._checked_at_s < CHECK_S:
            return
        self._checked_at_s = time.monotonic()
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError:
            self.close()
            try:
                self.take()
            except AlreadyRunning:
                raise
            except CannotRun:  # the outage goes on, and settlement waits for its end
                self.close()

    def close(self) -> None:
        with suppress(DatabaseError):
            self._connection.close()


def _this_process() -> str:
    return f"settlement on {socket.gethostname()[:30]}, process {os.getpid()}"


def _refusal(what: str, owner: str) -> AlreadyRunning:
    named = f" ({owner.strip()})" if owner.strip() else ""
    return AlreadyRunning(f"Another settlement process works on {what}{named}: stop it first.")
