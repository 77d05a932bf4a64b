"""Settlement's metrics for Prometheus. Their names are a contract, because alerts and dashboards use them.

Every process that uses the store counts its own statements. All other metrics belong to the worker and are in a
registry of their own, because other processes import this module too, where the gauges would stay 0 and look like an
outage.
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
DB_ERRORS = Counter("settlement_db_errors_total", "Statements that failed or that the store rejected.", ["kind"])

WORKER = CollectorRegistry()
BLOCK_LAG = Gauge(
    "settlement_block_lag", "Blocks that the engine has announced and the store does not hold yet.", registry=WORKER
)
PROJECTION_LAG = Gauge("settlement_projection_lag", "Blocks in the store that are not projected yet.", registry=WORKER)
SEQUENCE_GAPS = Counter(
    "settlement_sequence_gaps_total", "Number of times that blocks were lost from the stream.", registry=WORKER
)
DEAD_LETTERS = Gauge(
    "settlement_dead_letters", "Blocks whose projection the store rejected, not resolved yet.", registry=WORKER
)
BLOCKS_APPENDED = Counter("settlement_blocks_appended_total", "Blocks stored durably.", registry=WORKER)
FENCED_BLOCKS = Counter(
    "settlement_fenced_blocks_total", "Blocks refused because their engine had been replaced.", registry=WORKER
)
RETRIES = Counter(
    "settlement_retries_total", "Calls that were retried because the store was unavailable.", registry=WORKER
)
STORE_UP = Gauge("settlement_store_up", "1 while the store answers, 0 while settlement waits for it.", registry=WORKER)
STORE_DOWN_SECONDS = Gauge(
    "settlement_store_down_seconds", "Time for which the store has not answered, 0 while it does.", registry=WORKER
)
CLOCK_AHEAD_SECONDS = Gauge(
    "settlement_engine_clock_ahead_seconds",
    "Time by which the newest block's timestamp is after settlement's clock, 0 if it is not.",
    registry=WORKER,
)
SPILL_BLOCKS = Gauge("settlement_spill_blocks", "Blocks in the spill, which wait for the store.", registry=WORKER)
SPILL_BYTES = Gauge("settlement_spill_bytes", "Total size of the spill's files.", registry=WORKER)
EPOCH = Gauge("settlement_epoch", "Number of the newest epoch in the store.", registry=WORKER)
REPLICA_REFUSED = Gauge(
    "settlement_replica_refused",
    "1 for a replica whose blocks differ from the settled ones.",
    ["replica"],
    registry=WORKER,
)
TRADES_PROJECTED = Counter("settlement_trades_projected_total", "Trades projected.", registry=WORKER)


class _OfWorker(Collector):
    def collect(self) -> Iterable[Metric]:
        return WORKER.collect()


@contextmanager
def of_worker() -> Iterator[None]:
    """Context manager: exports the worker's metrics from this process."""
    collector = _OfWorker()
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)
