from collections.abc import Iterator

import pytest

from analytics.starrocks.http import StarRocksHttp, cluster_of
from analytics.starrocks.transactions import Transactions
from analytics.tables import TABLES
from tests.analytics.starrocks.server import Cluster, serving

TIMEOUT_S = 0.4
"""Of a request: the server answers at once, or not at all."""


@pytest.fixture
def cluster() -> Cluster:
    columns = {table.name: set(table.schema.names) for table in TABLES}
    columns["trading_days"] = {"day", "shard", "symbol", "account", "low", "high", "last_trade_id"}
    optional = {table.name: {one.name for one in table.schema if one.nullable} for table in TABLES}
    return Cluster(columns, optional)


@pytest.fixture
def url(cluster: Cluster) -> Iterator[str]:
    with serving(cluster) as address:
        yield address


@pytest.fixture
def http(url: str) -> StarRocksHttp:
    return StarRocksHttp(cluster_of(url, [], TIMEOUT_S))


@pytest.fixture
def transactions(http: StarRocksHttp) -> Transactions:
    return Transactions(http, sleep=lambda seconds: None)
