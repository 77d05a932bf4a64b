"""Which errors of a database pass by themselves, by its own codes: the classes that drivers sort them into do not say.

PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
SQLite: https://www.sqlite.org/rescode.html
"""

import sqlite3

from django.db import Error, InterfaceError, InternalError, OperationalError

_TRANSIENT_CLASSES = frozenset(
    (
        "08",  # connection exception
        "40",  # transaction rollback: serialization failure, deadlock, outcome unknown
        "53",  # insufficient resources: too many connections, disk full, out of memory
        "55",  # object not in the state it has to be in: a lock that was not to be had
        "57",  # operator intervention: shutdown, start-up, time-out
        "58",  # system error: input and output
    )
)
_TRANSIENT_STATES = frozenset(("25006",))  # read-only transaction: a standby that is about to lead
_MISSING_STATES = frozenset(("42P01", "42703", "3F000"))  # table, column, schema
_OF_THE_STATEMENT = "42"  # access denied, or a table that is not as the statement has it: no row's fault

_TRANSIENT_IN_SQLITE = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,  # a disk that was mounted again after errors, or a file under repair
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,  # the locks of the write-ahead log could not be had
    )
)
# It has no codes for these.
_MISSING_IN_SQLITE = ("no such table", "no such column", "has no column named")
_PRIMARY = 0xFF  # of SQLite's extended codes the low byte is the plain one


def is_transient(error: Error) -> bool:
    """Whether the same call may succeed later, as it is."""
    cause = error.__cause__ or error
    state: str | None = getattr(cause, "sqlstate", None)
    if state:
        return state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT_STATES
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    if code is not None:
        return code & _PRIMARY in _TRANSIENT_IN_SQLITE
    if "Could not decode" in str(error):  # SQLite's driver, which calls a damaged text operational
        return False
    # A driver that has no code to tell has not reached the database, or has lost it.
    return isinstance(error, OperationalError | InterfaceError | InternalError)


def is_uninitialized(error: Exception) -> bool:
    """Whether tables, or columns of newer tables, are not there."""
    state: str | None = getattr(error.__cause__ or error, "sqlstate", None)
    return state in _MISSING_STATES or any(words in str(error) for words in _MISSING_IN_SQLITE)


def is_misconfigured(error: Exception) -> bool:
    """Whether the database would refuse the statement whatever the row: a permission, a table of another kind."""
    state: str | None = getattr(error.__cause__ or error, "sqlstate", None)
    return state is not None and state[:2] == _OF_THE_STATEMENT


def sentence(error: Exception) -> str:
    """The first line of what the database said: the rest quotes statements and rows."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."
