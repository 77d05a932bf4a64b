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
FENCED_BLOCKS = Counter("settlement_fenced_blocks_total", "Blocks refused, because their engine had been replaced.")
RETRIES = Counter("settlement_retries_total", "Times that the store did not answer and was asked again.")
STORE_UP = Gauge("settlement_store_up", "1 while the store answers, 0 while settlement waits for it.")
STORE_DOWN_SECONDS = Gauge("settlement_store_down_seconds", "How long the store has not answered, 0 while it does.")
SPILL_BLOCKS = Gauge("settlement_spill_blocks", "Blocks that wait in the spill for the store.")
SPILL_BYTES = Gauge("settlement_spill_bytes", "Size of the spill's files.")
EPOCH = Gauge("settlement_epoch", "The newest epoch that the store knows.")
REPLICA_REFUSED = Gauge("settlement_replica_refused", "1 for a replica that differs from the others.", ["replica"])
TRADES_PROJECTED = Counter("settlement_trades_projected_total", "Trades projected.")
