"""Translates the driver's exceptions into those of the store contract: transient ones, and ones a person must fix."""

import struct
from collections.abc import Iterable

from cassandra import (
    AuthenticationFailed,
    DriverException,
    InvalidRequest,
    OperationTimedOut,
    RateLimitReached,
    RequestValidationException,
    Unauthorized,
    UnresolvableContactPoints,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import ConfigurationException, ErrorMessage, PreparedQueryNotFound, SyntaxException

from settlement import metrics
from settlement.stores.base import StoreError, StoreMisconfigured, StoreRejected, StoreUnavailable, StoreUninitialized

DRIVER_ERRORS = (
    DriverException,
    NoHostAvailable,
    ErrorMessage,
    ConnectionException,
    ConnectionBusy,
    NoConnectionsAvailable,
    struct.error,  # for a number that does not fit its column
)

_PERMANENT = (RequestValidationException, SyntaxException, ConfigurationException, struct.error)
_TRANSIENT = (RateLimitReached, PreparedQueryNotFound)
_NO_TABLES = ("unconfigured table", "does not exist", "doesn't exist", "no keyspace has been specified")
# Both servers have a single error code for invalid statements, so the text is matched. Cassandra since 4.0 says
# "undefined column name"; the other texts are ScyllaDB's.
_NO_COLUMN = ("undefined column name", "undefined name", "unknown identifier", "unrecognized name")


def translated(error: Exception, servers: str) -> StoreError:
    """The store error to raise instead of one of DRIVER_ERRORS, which is counted. `servers` names the cluster."""
    found = _translated(error, servers)
    metrics.DB_ERRORS.labels("unavailable" if isinstance(found, StoreUnavailable) else "rejected").inc()
    return found


def _translated(error: Exception, servers: str) -> StoreError:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, AuthenticationFailed):
            return StoreMisconfigured(f"{servers} rejects SCYLLA_USERNAME and SCYLLA_PASSWORD: {_sentence(cause)}")
        if isinstance(cause, Unauthorized):
            return StoreMisconfigured(
                f"The user of SCYLLA_USERNAME lacks a permission on {servers}, GRANT it: {_sentence(cause)}"
            )
        if isinstance(cause, _PERMANENT) and not isinstance(cause, _TRANSIENT):
            return _rejection(cause)
    if isinstance(error, UnresolvableContactPoints):
        return StoreUnavailable(f"The host name of {servers} does not resolve: check SCYLLA_HOSTS.")
    if isinstance(error, NoHostAvailable) and not causes[1:]:
        return StoreUnavailable(f"No node of {servers} answers: start one, or correct SCYLLA_HOSTS, SCYLLA_LOCAL_DC.")
    if isinstance(causes[-1], OperationTimedOut):
        return StoreUnavailable(f"{servers} does not answer in time.")
    return StoreUnavailable(f"{servers} does not answer: {_sentence(causes[-1])}")


def _rejection(error: Exception) -> StoreRejected:
    text = str(error).lower()
    if isinstance(error, InvalidRequest | ConfigurationException) and any(words in text for words in _NO_TABLES):
        return StoreUninitialized(
            f"The store rejects the statement (manage.py init_store creates keyspace and tables): {_sentence(error)}"
        )
    if isinstance(error, InvalidRequest) and any(words in text for words in _NO_COLUMN):
        return StoreMisconfigured(
            f"The store's tables are of another version (manage.py init_store says what to do): {_sentence(error)}"
        )
    return StoreRejected(f"The store rejects the statement: {_sentence(error)}")


def _causes(error: Exception) -> Iterable[Exception]:
    """The error, and the error of each node if several were tried."""
    yield error
    if isinstance(error, NoHostAvailable):
        by_node = error.errors.values() if isinstance(error.errors, dict) else error.errors
        yield from (one for one in by_node if isinstance(one, Exception))


def _sentence(error: Exception) -> str:
    """The server's message without the driver's additions, on one line."""
    text = str(getattr(error, "message", None) or error).strip() or type(error).__name__
    if 'message="' in text:
        text = text.split('message="', 1)[1].rsplit('"', 1)[0]
    text = text.rsplit("Last error: ", 1)[-1]  # of the several addresses of a host name
    return " ".join(text.split()).rstrip(".")[:300] + "."
