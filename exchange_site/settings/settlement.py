"""Settings of settlement."""

from exchange_site.settings.variables import env

env.group("Settlement", read_by="settlement")
SETTLEMENT_BATCH_TRADES = env.whole(
    "SETTLEMENT_BATCH_TRADES", 100, "Number of waiting trades that starts a projection.", unit="trades"
)
SETTLEMENT_BATCH_MS = env.whole(
    "SETTLEMENT_BATCH_MS", 100, "Maximum time that a block waits for projection.", unit="ms"
)
SETTLEMENT_SPILL_BYTES = env.whole(
    "SETTLEMENT_SPILL_BYTES",
    1024**3,
    "Capacity of the spill, which holds blocks on disk during an outage of the store.",
    unit="bytes",
)
SETTLEMENT_SNAPSHOT_BLOCKS = env.whole(
    "SETTLEMENT_SNAPSHOT_BLOCKS",
    10_000,
    "Blocks between snapshots of settlement's own engine. A start re-executes at most about as many blocks.",
    unit="blocks",
)
SETTLEMENT_STORE_TIMEOUT_MS = env.whole(
    "SETTLEMENT_STORE_TIMEOUT_MS",
    1000,
    "Timeout of settlement's requests to ScyllaDB or Cassandra, and of its waits for locks in a SQL database, before a "
    "retry. In PostgreSQL a statement may take ten times as long.",
    unit="ms",
)
SETTLEMENT_HTTP_ADDRESS = env.text(
    "SETTLEMENT_HTTP_ADDRESS",
    "127.0.0.1:9702",
    "HOST:PORT of settlement's health and metrics.",
    read_by="settlement, run_exchange",
)
