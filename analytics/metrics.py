"""Metrics of `run_analytics` for Prometheus. Only that process exports them."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from analytics.starrocks.loading import Status

LOADER = CollectorRegistry()
LOADED_BLOCK = Gauge("analytics_loaded_block", "Newest block whose rows are in StarRocks.", registry=LOADER)
BLOCK_LAG = Gauge("analytics_block_lag", "Projected blocks whose rows are not in StarRocks yet.", registry=LOADER)
UP = Gauge("analytics_starrocks_up", "1 if the newest batch was loaded, 0 while it is repeated.", registry=LOADER)
ROWS_LOADED = Counter("analytics_rows_loaded_total", "Rows loaded into StarRocks.", ["table"], registry=LOADER)
RETRIES = Counter("analytics_load_retries_total", "Stream load transactions that were repeated.", registry=LOADER)


class _OfLoader(Collector):
    def collect(self) -> Iterator[Metric]:
        yield from LOADER.collect()


def report(status: Status) -> None:
    LOADED_BLOCK.set(status.loaded_block)
    UP.set(status.is_up)
    if status.is_up:
        BLOCK_LAG.set(status.projected_block - status.loaded_block)


def count_rows(table: str, count: int) -> None:
    ROWS_LOADED.labels(table).inc(count)


@contextmanager
def of_loader() -> Iterator[None]:
    """Exports the metrics from this process."""
    collector = _OfLoader()
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)
