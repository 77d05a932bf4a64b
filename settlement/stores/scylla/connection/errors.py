"""What the ScyllaDB driver raises, in the contract's words: what passes by itself, and what a person has to do."""

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
    struct.error,  # of a number that the column cannot hold
)

_REFUSED = (RequestValidationException, SyntaxException, ConfigurationException, struct.error)
_ABOUT_TO_PASS = (RateLimitReached, PreparedQueryNotFound)
_NO_TABLES = ("unconfigured table", "does not exist", "doesn't exist", "no keyspace has been specified")
# Both servers have one code for all that is invalid. Cassandra: undefined column name, since 4.0; ScyllaDB: the others.
_NO_COLUMN = ("undefined column name", "undefined name", "unknown identifier", "unrecognized name")


def translated(error: Exception, servers: str) -> StoreError:
    """The error to raise in the place of one of DRIVER_ERRORS; counted. `servers`: where was asked."""
    found = _translated(error, servers)
    metrics.DB_ERRORS.labels("unavailable" if isinstance(found, StoreUnavailable) else "rejected").inc()
    return found


def _translated(error: Exception, servers: str) -> StoreError:
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, AuthenticationFailed):
            return StoreMisconfigured(f"{servers} refuses SCYLLA_USERNAME and SCYLLA_PASSWORD: {_sentence(cause)}")
        if isinstance(cause, Unauthorized):
            return StoreMisconfigured(
                f"{servers} does not let this account do it, GRANT it the permission: {_sentence(cause)}"
            )
        if isinstance(cause, _REFUSED) and not isinstance(cause, _ABOUT_TO_PASS):
            return _refusal(cause)
    if isinstance(error, UnresolvableContactPoints):
        return StoreUnavailable(f"No address is known for {servers}: look at SCYLLA_HOSTS.")
    if isinstance(error, NoHostAvailable) and not causes[1:]:
        return StoreUnavailable(f"No node of {servers} answers: start one, or mend SCYLLA_HOSTS, SCYLLA_LOCAL_DC.")
    if isinstance(causes[-1], OperationTimedOut):
        return StoreUnavailable(f"{servers} does not answer in time.")
    return StoreUnavailable(f"{servers} does not answer: {_sentence(causes[-1])}")


def _refusal(error: Exception) -> StoreRejected:
    text = str(error).lower()
    if isinstance(error, InvalidRequest | ConfigurationException) and any(words in text for words in _NO_TABLES):
        return StoreUninitialized(
            f"The store refuses it (manage.py init_store makes keyspace and tables): {_sentence(error)}"
        )
    if isinstance(error, InvalidRequest) and any(words in text for words in _NO_COLUMN):
        return StoreMisconfigured(
            f"The store's tables are not this version's (manage.py init_store says what to do): {_sentence(error)}"
        )
    return StoreRejected(f"The store refuses it: {_sentence(error)}")


def _causes(error: Exception) -> Iterable[Exception]:
    """The error, and what each node said where several were asked."""
    yield error
    if isinstance(error, NoHostAvailable):
        said = error.errors.values() if isinstance(error.errors, dict) else error.errors
        yield from (one for one in said if isinstance(one, Exception))


def _sentence(error: Exception) -> str:
    """What the server said, without the driver's words about it, on one line."""
    text = str(getattr(error, "message", None) or error).strip() or type(error).__name__
    if 'message="' in text:
        text = text.split('message="', 1)[1].rsplit('"', 1)[0]
    text = text.rsplit("Last error: ", 1)[-1]  # of all the addresses that a name has
    return " ".join(text.split()).rstrip(".")[:300] + "."
