"""What settlement tells Prometheus; the names are a contract (alerts and dashboards are written against them)."""

from prometheus_client import Counter, Gauge, Histogram

DB_INSERTS = Counter("settlement_db_inserts_total", "Rows written to the store.", ["table"])
DB_LATENCY_MS = Histogram(
    "settlement_db_latency_ms",
    "Time of one statement on the store, in milliseconds.",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000),
)
DB_ERRORS = Counter("settlement_db_errors_total", "Statements that the store failed or refused.", ["kind"])

BLOCK_LAG = Gauge("settlement_block_lag", "Blocks that the engine has announced and the store does not hold yet.")
PROJECTION_LAG = Gauge("settlement_projection_lag", "Blocks that the store holds and has not projected yet.")
SEQUENCE_GAPS = Counter("settlement_sequence_gaps_total", "Times that a block number was missing.")
DEAD_LETTERS = Gauge("settlement_dead_letters", "Blocks whose projection was refused and is not resolved.")
BLOCKS_APPENDED = Counter("settlement_blocks_appended_total", "Blocks made durable.")
TRADES_PROJECTED = Counter("settlement_trades_projected_total", "Trades projected.")
