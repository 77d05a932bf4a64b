"""A temporary keyspace for a benchmark on the configured servers, so that settled data is not touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.processes import BenchError
from settlement import scylla_wiring
from settlement.stores.base import StoreError
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.session import Session


def unavailable_reason() -> str | None:
    """Why ScyllaDB or Cassandra is not available, None if it is."""
    try:
        Session(scylla_wiring.access()).open()
    except StoreError as error:
        return str(error)
    return None


@contextmanager
def temporary_keyspace() -> Iterator[Access]:
    """A keyspace name for the benchmark, which creates it; dropped afterwards.

    Raises BenchError if the keyspace exists, StoreUnavailable, StoreRejected.
    """
    settled = scylla_wiring.access()
    access = replace(settled, keyspace=f"{settled.keyspace}_bench")
    session = Session(access)
    if access.keyspace in session.keyspaces():
        raise BenchError(
            f"Keyspace {access.keyspace} exists already: another benchmark is running, or one was killed. If none is "
            f"running, DROP KEYSPACE {access.keyspace} and try again."
        )
    try:
        yield access
    finally:
        session.run_plain(f"DROP KEYSPACE IF EXISTS {access.keyspace}")
