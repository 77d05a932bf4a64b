"""Creates the components of the store on ScyllaDB from the site's settings.

`wiring` imports this module only for such a store: the driver takes as long to load as a short command.
"""

from django.conf import settings

from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.lease import ScyllaLease
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.scylla.tables.schema import options_text
from settlement.stores.sql.store import SqlStore


def access() -> Access:
    return Access(
        hosts=tuple(settings.SCYLLA_HOSTS),
        port=settings.SCYLLA_PORT,
        keyspace=settings.SCYLLA_KEYSPACE,
        replication=options_text(settings.SCYLLA_REPLICATION),
        username=settings.SCYLLA_USERNAME,
        password=settings.SCYLLA_PASSWORD,
        local_dc=settings.SCYLLA_LOCAL_DC,
        consistency=settings.SCYLLA_CONSISTENCY,
        timeout_ms=settings.SCYLLA_TIMEOUT_MS,
        in_flight=settings.SCYLLA_IN_FLIGHT,
    )


def store(tables: SqlStore, timeout_ms: int | None = None) -> ScyllaStore:
    """`tables`: the store in Django's database, which keeps the alarms. `timeout_ms`: default: SCYLLA_TIMEOUT_MS."""
    return ScyllaStore(access(), tables, settings.SETTLEMENT_SLOW_QUERY_MS, timeout_ms)


def lease() -> ScyllaLease:
    return ScyllaLease(access(), settings.SETTLEMENT_SLOW_QUERY_MS)
