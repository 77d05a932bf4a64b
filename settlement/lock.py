"""Locks, so that only one settlement process writes: one on DATA_DIR (trail, spill), one on the store.

Each lock ends with its process, however that ends. The store's lock is needed beside the other because two settlements
with folders of their own may be pointed at one store.
"""

import fcntl
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from django.db import Error as DatabaseError
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from matching.storage.disk import make_folder
from settlement.errors import AlreadyRunning, CannotRun
from settlement.stores.base import StoreError

NAME = "settlement.lock"
DATABASE_SUFFIX = ".settlement-lock"
ADVISORY_KEY = 0x5E771E
CHECK_S = 1.0
RENEW_S = 5.0

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_WATCH_THE_CLIENT = (
    # The server notices in 20 s that the machine of a lock's owner is gone; the default is two hours.
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 3",
)
# PostgreSQL releases the lock of a closed connection a moment after the close.
_WAIT_FOR_THE_RELEASE = "SET lock_timeout = '1s'"
_LOCK_TIMEOUT = "55P03"  # https://www.postgresql.org/docs/current/errcodes-appendix.html
_OWNER = """
    SELECT application_name FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE locktype = 'advisory' AND granted AND objid = %s AND database = (SELECT oid FROM pg_database
    WHERE datname = current_database())
"""


class StoreLock(Protocol):
    def check(self) -> None:
        """Called in every turn. Raises AlreadyRunning if the lock was lost to another process."""


class Lease(Protocol):
    """A lock that ends by itself `ttl_s` after its owner has taken or renewed it. Raises StoreError."""

    ttl_s: int

    def take(self, owner: str, instead_of: str = "") -> str:
        """The owner afterwards: this one, or another. `instead_of`: an owner that is known to be dead."""

    def renew(self, owner: str) -> bool:
        """Renews the lease; returns False if it has ended or is another owner's."""

    def end(self, owner: str) -> None: ...


class NeverLost:
    """A lock on a file: its process holds it until it ends, so there is nothing to check."""

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
def of_lease(lease: Lease, what: str) -> Iterator[StoreLock]:
    """A lock that is renewed in a thread until the block ends. `what`: the store, in sentences.

    Raises AlreadyRunning, StoreError.
    """
    held = _HeldLease(lease, what)
    held.take()
    done = threading.Event()
    thread = threading.Thread(target=held.renew_until, args=(done,), name="store-lock", daemon=True)
    thread.start()
    try:
        yield held
    finally:
        done.set()
        thread.join()
        held.end()


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


def owner_in_database(alias: str) -> str:
    """The process that holds the lock of the SQL store, "" if none does; takes and creates nothing."""
    database = connections[alias]
    if database.vendor == "sqlite":
        file = Path(str(database.settings_dict["NAME"])).resolve()
        return _owner_in(file.with_name(file.name + DATABASE_SUFFIX))
    connection = connections.create_connection(alias)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_OWNER, [ADVISORY_KEY])
            owner = cursor.fetchone()
    except DatabaseError:
        return ""
    finally:
        connection.close()
    return str(owner[0]) if owner else ""


def name_of(owner: str) -> str:
    """A lease's owner, in sentences."""
    return owner.partition("|")[0]


def _owner_in(path: Path) -> str:
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().decode(errors="replace").strip()
    except OSError:
        pass
    return ""


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
                for setting in (*_WATCH_THE_CLIENT, _WAIT_FOR_THE_RELEASE):
                    cursor.execute(setting)
                cursor.execute("SELECT set_config('application_name', %s, false)", [_this_process()])
                if _takes_the_advisory_lock(cursor):
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


def _takes_the_advisory_lock(cursor: CursorWrapper) -> bool:
    try:
        cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_KEY])
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) == _LOCK_TIMEOUT:
            return False
        raise
    return True


class _HeldLease:
    """The owner is a text: the process in words, "|", and the data by which `_is_dead` sees whether it still runs."""

    def __init__(self, lease: Lease, what: str) -> None:
        self._lease = lease
        self._what = what
        self._owner = f"{_this_process()}|{_place()}|{os.getpid()}|{secrets.token_hex(4)}"
        self._lost: AlreadyRunning | None = None

    def take(self) -> None:
        """Raises AlreadyRunning, StoreError."""
        owner = self._lease.take(self._owner)
        if owner != self._owner and _is_dead(owner):
            owner = self._lease.take(self._owner, instead_of=owner)
        if owner != self._owner:
            after = f" If it was killed, its lock ends {self._lease.ttl_s} seconds after that."
            raise AlreadyRunning(str(_refusal(self._what, name_of(owner))) + after)

    def renew_until(self, done: threading.Event) -> None:
        while not done.wait(RENEW_S) and self._lost is None:
            with suppress(StoreError):  # the outage goes on, and nothing can be written
                try:
                    if not self._lease.renew(self._owner):
                        self.take()
                except AlreadyRunning as error:
                    self._lost = error

    def check(self) -> None:
        if self._lost is not None:
            raise self._lost

    def end(self) -> None:
        with suppress(StoreError):
            self._lease.end(self._owner)


def _place() -> str:
    """Identifies this boot of this machine and its process namespace, in which a process number has a meaning."""
    try:
        return f"{_BOOT.read_text(encoding='ascii').strip()}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return secrets.token_hex(8)


def _is_dead(owner: str) -> bool:
    """Whether the owner was a process of this machine that has ended.

    An owner with the number of this process has ended, too: numbers are used again.
    """
    _, place, number, *_ = [*owner.split("|"), "", "", ""]
    if place != _place() or not number.isdigit():
        return False
    return int(number) == os.getpid() or not Path(f"/proc/{number}").exists()


def _this_process() -> str:
    return f"settlement on {socket.gethostname()[:30]}, process {os.getpid()}"


def _refusal(what: str, owner: str) -> AlreadyRunning:
    named = f" ({owner.strip()})" if owner.strip() else ""
    return AlreadyRunning(f"Another settlement process works on {what}{named}: stop it first.")
