"""A keyspace of a benchmark's own on the servers that the settings name, so that nothing settled is touched."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.processes import BenchError
from settlement import wiring
from settlement.stores.base import StoreError
from settlement.stores.scylla.connection.session import Access, Session


def absence() -> str | None:
    """Why no ScyllaDB or Cassandra can be measured; None: one answers."""
    try:
        Session(wiring.scylla_access()).open()
    except StoreError as error:
        return str(error)
    return None


@contextmanager
def own_keyspace() -> Iterator[Access]:
    """Not made yet; gone afterwards. Raises BenchError where there is one, StoreUnavailable, StoreRejected."""
    settled = wiring.scylla_access()
    access = replace(settled, keyspace=f"{settled.keyspace}_bench")
    session = Session(access)
    if access.keyspace in session.keyspaces():
        raise BenchError(
            f"There is a keyspace {access.keyspace} already: another benchmark runs, or one was killed. If none runs, "
            f"DROP KEYSPACE {access.keyspace} and measure again."
        )
    try:
        yield access
    finally:
        session.run_plain(f"DROP KEYSPACE IF EXISTS {access.keyspace}")
