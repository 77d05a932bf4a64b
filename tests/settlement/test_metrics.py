"""Which process exports which metrics."""

from prometheus_client import REGISTRY

from settlement import metrics


def exported() -> set[str]:
    return {metric.name for metric in REGISTRY.collect() if metric.name.startswith("settlement_")}


def test_the_workers_metrics_are_exported_only_where_it_runs() -> None:
    of_all = {"settlement_db_inserts", "settlement_db_latency_ms", "settlement_db_errors"}
    assert exported() == of_all
    with metrics.of_worker():
        assert exported() > of_all | {"settlement_store_up", "settlement_block_lag"}
    assert exported() == of_all
