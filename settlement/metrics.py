"""What settlement tells Prometheus; the names are a contract (alerts and dashboards are written against them).

Every process that asks the store counts its own statements. The rest is the worker's: modules that others load too
make it, and in the web or in an engine it would say for ever that the store is down. So it is in a registry of its own.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

DB_INSERTS = Counter("settlement_db_inserts_total", "Rows written to the store.", ["table"])
DB_LATENCY_MS = Histogram(
    "settlement_db_latency_ms",
    "Time of one statement on the store, in milliseconds.",
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000),
)
DB_ERRORS = Counter("settlement_db_errors_total", "Statements that the store failed or refused.", ["kind"])

WORKER = CollectorRegistry()
BLOCK_LAG = Gauge(
    "settlement_block_lag", "Blocks that the engine has announced and the store does not hold yet.", registry=WORKER
)
PROJECTION_LAG = Gauge(
    "settlement_projection_lag", "Blocks that the store holds and has not projected yet.", registry=WORKER
)
SEQUENCE_GAPS = Counter("settlement_sequence_gaps_total", "Times that a block number was missing.", registry=WORKER)
DEAD_LETTERS = Gauge(
    "settlement_dead_letters", "Blocks whose projection was refused and is not resolved.", registry=WORKER
)
BLOCKS_APPENDED = Counter("settlement_blocks_appended_total", "Blocks made durable.", registry=WORKER)
FENCED_BLOCKS = Counter(
    "settlement_fenced_blocks_total", "Blocks refused, because their engine had been replaced.", registry=WORKER
)
RETRIES = Counter(
    "settlement_retries_total", "Times that the store did not answer and was asked again.", registry=WORKER
)
STORE_UP = Gauge("settlement_store_up", "1 while the store answers, 0 while settlement waits for it.", registry=WORKER)
STORE_DOWN_SECONDS = Gauge(
    "settlement_store_down_seconds", "How long the store has not answered, 0 while it does.", registry=WORKER
)
CLOCK_AHEAD_SECONDS = Gauge(
    "settlement_engine_clock_ahead_seconds",
    "How long after settlement's clock the newest block is dated, 0 where it is not.",
    registry=WORKER,
)
SPILL_BLOCKS = Gauge("settlement_spill_blocks", "Blocks that wait in the spill for the store.", registry=WORKER)
SPILL_BYTES = Gauge("settlement_spill_bytes", "Size of the spill's files.", registry=WORKER)
EPOCH = Gauge("settlement_epoch", "The newest epoch that the store knows.", registry=WORKER)
REPLICA_REFUSED = Gauge(
    "settlement_replica_refused", "1 for a replica that differs from the others.", ["replica"], registry=WORKER
)
TRADES_PROJECTED = Counter("settlement_trades_projected_total", "Trades projected.", registry=WORKER)


class _OfWorker(Collector):
    def collect(self) -> Iterable[Metric]:
        return WORKER.collect()


@contextmanager
def of_worker() -> Iterator[None]:
    """The worker's metrics are this process's, until the block ends."""
    collector = _OfWorker()
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)
