"""Classifies database errors by the database's own error codes, because the drivers' exception classes are too coarse.

PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
SQLite: https://www.sqlite.org/rescode.html
"""

import re
import sqlite3
from pathlib import Path

from django.db import Error, InterfaceError, InternalError, OperationalError

_TRANSIENT_CLASSES = frozenset(
    (
        "08",  # connection exception
        "40",  # transaction rollback: serialization failure, deadlock, outcome unknown
        "53",  # insufficient resources: too many connections, disk full, out of memory
        "55",  # object not in prerequisite state: a lock that was not available
        "57",  # operator intervention: shutdown, start-up, time-out
        "58",  # system error: I/O
    )
)
_TRANSIENT_STATES = frozenset(("25006",))  # read-only transaction: a standby that is being promoted
_MISSING_STATES = frozenset(("42P01", "42703", "3F000"))  # table, column, schema
_DAMAGED_CLASS = "XX"  # internal error: corrupt data, a corrupt index, or a defect of the server
_STATEMENT_CLASS = "42"  # access rule violation or a table that does not fit the statement; independent of the row

_TRANSIENT_IN_SQLITE = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,  # a disk that was remounted read-only after errors, or a file under repair
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,  # the locks of the write-ahead log are not available
    )
)
_DAMAGED_IN_SQLITE = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_DAMAGED_TEXT = "Could not decode"  # an OperationalError of SQLite's driver
# SQLite has no codes for these.
_MISSING_IN_SQLITE = ("no such table", "no such column", "has no column named")
# PostgreSQL's driver has no codes for the errors of a login.
_LOGIN_REJECTED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|not permitted to log in|"
    r"permission denied for database|(role|user|database) \".*\" does not exist"
)
_PRIMARY = 0xFF  # the low byte of SQLite's extended codes is the primary code


def is_transient(error: Error) -> bool:
    """Whether the same call may succeed later without any change."""
    cause = error.__cause__ or error
    state: str | None = getattr(cause, "sqlstate", None)
    if state:
        return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & _PRIMARY in _TRANSIENT_IN_SQLITE
    if _DAMAGED_TEXT in str(error):
        return False
    # An error without a code is of the driver: it could not connect, or lost the connection.
    return isinstance(error, OperationalError | InterfaceError | InternalError)


def is_uninitialized(error: Exception) -> bool:
    """Whether tables, or columns of a newer version, are missing."""
    state: str | None = getattr(error.__cause__ or error, "sqlstate", None)
    return state in _MISSING_STATES or any(words in str(error) for words in _MISSING_IN_SQLITE)


def is_damaged(error: Exception) -> bool:
    """Whether the database is corrupt, so that the statement and its rows are not the cause."""
    cause = error.__cause__ or error
    state: str | None = getattr(cause, "sqlstate", None)
    if state is not None:
        return state[:2] == _DAMAGED_CLASS
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    return (code is not None and code & _PRIMARY in _DAMAGED_IN_SQLITE) or _DAMAGED_TEXT in str(error)


def is_misconfigured(error: Exception) -> bool:
    """Whether the database rejects the statement for any row: a missing permission, or a table of another kind."""
    state: str | None = getattr(error.__cause__ or error, "sqlstate", None)
    return state is not None and state[:2] == _STATEMENT_CLASS


def unavailable_sentence(error: Exception) -> str:
    """The message for a transient error. That includes a rejected login, which can be corrected meanwhile."""
    message = first_line(error)
    if _LOGIN_REJECTED.search(message):
        return (
            f"The database server rejects the login (check user, password and database name in DATABASE_URL): {message}"
        )
    return f"The database does not answer: {message}"


def first_line(error: Exception) -> str:
    """The first line of the database's message; further lines quote statements and rows."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."


def restore_sentence(what: str, evidence: Path) -> str:
    """The message for a lost database. `what`: the fault; `evidence`: a file that shows that there was a store."""
    return (
        f"{what}, but {evidence} shows that there was a store: restore it from a backup. If there is none, and "
        "everything is to begin again, move the contents of DATA_DIR away, then run init_store."
    )
