"""Which errors of a database pass by themselves, by its own codes: the classes that drivers sort them into do not say.

PostgreSQL: https://www.postgresql.org/docs/current/errcodes-appendix.html
SQLite: https://www.sqlite.org/rescode.html
"""

import re
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
_DAMAGED_CLASS = "XX"  # internal error: corrupt data, a corrupt index, or the server's own mistake
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
_DAMAGED_IN_SQLITE = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
_DAMAGED_TEXT = "Could not decode"  # SQLite's driver, which calls it operational
# It has no codes for these.
_MISSING_IN_SQLITE = ("no such table", "no such column", "has no column named")
# PostgreSQL's driver has no code for what a server says to a login.
_REFUSED_LOGIN = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|not permitted to log in|"
    r"permission denied for database|(role|user|database) \".*\" does not exist"
)
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
    if _DAMAGED_TEXT in str(error):
        return False
    # A driver that has no code to tell has not reached the database, or has lost it.
    return isinstance(error, OperationalError | InterfaceError | InternalError)


def is_uninitialized(error: Exception) -> bool:
    """Whether tables, or columns of newer tables, are not there."""
    state: str | None = getattr(error.__cause__ or error, "sqlstate", None)
    return state in _MISSING_STATES or any(words in str(error) for words in _MISSING_IN_SQLITE)


def is_damaged(error: Exception) -> bool:
    """Whether the database itself is not what it was written as, so that no row is at fault."""
    cause = error.__cause__ or error
    state: str | None = getattr(cause, "sqlstate", None)
    if state is not None:
        return state[:2] == _DAMAGED_CLASS
    code: int | None = getattr(cause, "sqlite_errorcode", None)
    return (code is not None and code & _PRIMARY in _DAMAGED_IN_SQLITE) or _DAMAGED_TEXT in str(error)


def is_misconfigured(error: Exception) -> bool:
    """Whether the database would refuse the statement whatever the row: a permission, a table of another kind."""
    state: str | None = getattr(error.__cause__ or error, "sqlstate", None)
    return state is not None and state[:2] == _OF_THE_STATEMENT


def why_away(error: Exception) -> str:
    """What to say of one that is transient. A refused login is: roles, passwords and databases can be put in order."""
    said = sentence(error)
    if _REFUSED_LOGIN.search(said):
        return f"The database server refuses the login (mend user, password and database name in DATABASE_URL): {said}"
    return f"The database does not answer: {said}"


def sentence(error: Exception) -> str:
    """The first line of what the database said: the rest quotes statements and rows."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".") + "."
