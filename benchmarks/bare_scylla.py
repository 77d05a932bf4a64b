"""Insert rate of the Cassandra driver alone, as a reference for the store: rows a second in single-partition batches.

Uses the same server, keyspace, consistency and connection settings as the store.
"""

import time
from collections import deque
from typing import Any

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster
from cassandra.query import BatchStatement, BatchType

from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.driver import cluster_options
from settlement.stores.scylla.connection.errors import DRIVER_ERRORS, translated

IN_FLIGHT = (1, 4, 8, 16)
BATCH_ROWS = 100
_NUMBERS = 6
_TABLE = (
    "CREATE TABLE IF NOT EXISTS {}.bare_rows (shard int, bucket bigint, id bigint, "
    + ", ".join(f"number_{index} bigint" for index in range(_NUMBERS))
    + ", symbol text, side text, PRIMARY KEY ((shard, bucket), id))"
)
_COLUMNS = ["shard", "bucket", "id", *(f"number_{index}" for index in range(_NUMBERS)), "symbol", "side"]


def rates(access: Access, rows: int) -> dict[int, float]:
    """Number of batches in flight → rows of 11 columns a second. Raises StoreUnavailable, StoreRejected."""
    login = PlainTextAuthProvider(access.username, access.password) if access.username else None
    cluster = Cluster(access.hosts, auth_provider=login, **cluster_options(access, access.timeout_ms / 1000))
    try:
        session = cluster.connect()
        session.execute(_TABLE.format(access.keyspace))
        marks = ", ".join("?" * len(_COLUMNS))
        insert = session.prepare(f"INSERT INTO {access.keyspace}.bare_rows ({', '.join(_COLUMNS)}) VALUES ({marks})")
        _rate(session, insert, 0, max(IN_FLIGHT), rows)  # warm-up
        return {width: _rate(session, insert, index, width, rows) for index, width in enumerate(IN_FLIGHT, 1)}
    except DRIVER_ERRORS as error:
        raise translated(error, access.servers) from error
    finally:
        cluster.shutdown()


def _rate(session: Any, insert: Any, bucket: int, in_flight: int, rows: int) -> float:
    waiting: deque[Any] = deque()
    began_s = time.perf_counter()
    for first in range(0, rows, BATCH_ROWS):
        batch = BatchStatement(BatchType.UNLOGGED)
        for number in range(first, first + BATCH_ROWS):
            batch.add(insert, (0, bucket, number, *range(number, number + _NUMBERS), "BTC-USD", "buy"))
        if len(waiting) == in_flight:
            waiting.popleft().result()
        waiting.append(session.execute_async(batch))
    for future in waiting:
        future.result()
    return -(-rows // BATCH_ROWS) * BATCH_ROWS / (time.perf_counter() - began_s)
