"""Replication: no keyspace is created with more copies than nodes; an existing one that differs is reported."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from structlog.testing import capture_logs

from scripts.services import Running
from settlement.stores.base import StoreMisconfigured
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.connection.replication import (
    Replication,
    existing_keyspace_fault,
    new_keyspace_fault,
    replicas,
)
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.scylla.tables.schema import options_text
from settlement.stores.sql.store import SqlStore

NODES = Counter(one=3, two=1)
NETWORK = "NetworkTopologyStrategy"
keyspaces = count()


@pytest.fixture
def access(cassandra: Running) -> Iterator[Access]:
    """A keyspace that does not exist yet, for this test only, on a server of one node."""
    access = Access((cassandra.host,), cassandra.port, f"settlement_replicas_{os.getpid()}_{next(keyspaces)}")
    yield access
    Session(access).run_plain(f"DROP KEYSPACE IF EXISTS {access.keyspace}")


def store_with_replicas(access: Access, number: int) -> ScyllaStore:
    replication = options_text({"class": "SimpleStrategy", "replication_factor": number})
    return ScyllaStore(replace(access, replication=replication), SqlStore())


@pytest.mark.parametrize(
    ("replication", "expected"),
    [
        ({"class": "SimpleStrategy", "replication_factor": 3}, {"": 3}),
        ({"class": "org.apache.cassandra.locator.SimpleStrategy", "replication_factor": "3"}, {"": 3}),
        ({"class": NETWORK, "one": "3", "two": "1/1"}, {"one": 3, "two": 1}),
        ({"class": NETWORK, "replication_factor": 2, "two": 1}, {"one": 2, "two": 1}),
        ({"class": "EverywhereStrategy"}, {}),
        ({"class": "SimpleStrategy", "replication_factor": "many"}, {}),
    ],
)
def test_replicas_are_counted_by_data_centre(replication: Replication, expected: dict[str, int]) -> None:
    assert replicas(replication, NODES) == expected


@pytest.mark.parametrize(
    ("replication", "says"),
    [
        ({"class": "SimpleStrategy", "replication_factor": 5}, "asks for 5 replicas, but there are 4 nodes"),
        ({"class": NETWORK, "one": 3, "two": 2}, "asks for 2 replicas in data centre two, but there is 1 node"),
        ({"class": NETWORK, "three": 1}, "asks for 1 replica in data centre three, but there are 0 nodes"),
        ({"class": NETWORK, "one": 3, "two": 1}, ""),
    ],
)
def test_more_replicas_than_nodes_are_rejected(replication: Replication, says: str) -> None:
    reason = new_keyspace_fault(Access(), NODES, replication)
    assert says in reason
    assert bool(reason) is bool(says)


@pytest.mark.parametrize(
    ("number", "consistency", "fits"),
    [(5, "LOCAL_QUORUM", True), (6, "LOCAL_QUORUM", True), (8, "QUORUM", False), (5, "ALL", False)],
)
def test_an_existing_keyspace_needs_the_nodes_of_a_quorum(number: int, consistency: str, fits: bool) -> None:
    existing = {"class": "SimpleStrategy", "replication_factor": str(number)}
    reason = existing_keyspace_fault(Access(consistency=consistency), NODES, existing)
    assert (reason == "") is fits
    assert fits or f"has {number} replicas, but there are 4 nodes, too few for {consistency}" in reason


@pytest.mark.services("cassandra")
@pytest.mark.django_db
def test_a_keyspace_with_more_replicas_than_nodes_is_not_created(access: Access) -> None:
    with pytest.raises(StoreMisconfigured, match="SCYLLA_REPLICATION asks for 3 replicas, but there is 1 node"):
        store_with_replicas(access, 3).init()
    assert access.keyspace not in Session(access).keyspaces()


@pytest.mark.services("cassandra")
@pytest.mark.django_db
def test_an_existing_keyspace_with_too_many_replicas_is_rejected_with_the_remedy(access: Access) -> None:
    three = options_text({"class": "SimpleStrategy", "replication_factor": 3})
    Session(access).run_plain(f"CREATE KEYSPACE {access.keyspace} WITH replication = {three}")
    with pytest.raises(StoreMisconfigured) as refused:
        store_with_replicas(access, 1).init()
    assert "has 3 replicas, but there is 1 node, too few for LOCAL_QUORUM" in str(refused.value)
    one = options_text({"class": "SimpleStrategy", "replication_factor": 1})
    assert f"ALTER KEYSPACE {access.keyspace} WITH replication = {one}, then nodetool repair --full" in str(
        refused.value
    )


@pytest.mark.services("cassandra")
@pytest.mark.django_db
def test_a_replication_setting_that_differs_from_the_existing_keyspace_is_logged(access: Access) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            store_with_replicas(access, 1).init()
    assert not [line for line in logs if line["log_level"] == "warning"]

    with capture_logs() as logs:
        store_with_replicas(access, 2).init()
    (line,) = [line for line in logs if line["log_level"] == "warning"]
    assert line["event"] == "store.replication_differs"
    assert "'replication_factor': 2}, then nodetool repair" in line["remedy"]
