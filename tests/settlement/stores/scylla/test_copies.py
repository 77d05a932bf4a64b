"""Copies and nodes: a keyspace that could not be written to is not made, and one that is otherwise is told."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest
from structlog.testing import capture_logs

from scripts.services import Running
from settlement.stores.base import StoreMisconfigured
from settlement.stores.scylla.connection.copies import Replication, copies, misfit, misfit_of_existing
from settlement.stores.scylla.connection.session import Access, Session
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.scylla.tables.schema import options_text
from settlement.stores.sql.store import SqlStore

NODES = Counter(one=3, two=1)
NETWORK = "NetworkTopologyStrategy"
keyspaces = count()


@pytest.fixture
def access(cassandra: Running) -> Iterator[Access]:
    """A keyspace of this test's own, not made yet, on a server of one node."""
    access = Access((cassandra.host,), cassandra.port, f"settlement_copies_{os.getpid()}_{next(keyspaces)}")
    yield access
    Session(access).run_plain(f"DROP KEYSPACE IF EXISTS {access.keyspace}")


def with_copies(access: Access, number: int) -> ScyllaStore:
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
def test_copies_are_counted_by_data_centre(replication: Replication, expected: dict[str, int]) -> None:
    assert copies(replication, NODES) == expected


@pytest.mark.parametrize(
    ("replication", "says"),
    [
        ({"class": "SimpleStrategy", "replication_factor": 5}, "asks for 5 copies, and there are 4 nodes"),
        ({"class": NETWORK, "one": 3, "two": 2}, "asks for 2 copies in data centre two, and there is 1 node"),
        ({"class": NETWORK, "three": 1}, "asks for 1 copy in data centre three, and there are 0 nodes"),
        ({"class": NETWORK, "one": 3, "two": 1}, ""),
    ],
)
def test_more_copies_than_nodes_are_refused(replication: Replication, says: str) -> None:
    reason = misfit(Access(), NODES, replication)
    assert says in reason
    assert bool(reason) is bool(says)


@pytest.mark.parametrize(
    ("number", "consistency", "fits"),
    [(5, "LOCAL_QUORUM", True), (6, "LOCAL_QUORUM", True), (8, "QUORUM", False), (5, "ALL", False)],
)
def test_a_keyspace_that_is_there_needs_the_nodes_of_a_quorum(number: int, consistency: str, fits: bool) -> None:
    existing = {"class": "SimpleStrategy", "replication_factor": str(number)}
    reason = misfit_of_existing(Access(consistency=consistency), NODES, existing)
    assert (reason == "") is fits
    assert fits or f"has {number} copies, and there are 4 nodes, too few for {consistency}" in reason


@pytest.mark.services("cassandra")
@pytest.mark.django_db
def test_a_keyspace_with_more_copies_than_nodes_is_not_made(access: Access) -> None:
    with pytest.raises(StoreMisconfigured, match="SCYLLA_REPLICATION asks for 3 copies, and there is 1 node: start"):
        with_copies(access, 3).init()
    assert access.keyspace not in Session(access).keyspaces()


@pytest.mark.services("cassandra")
@pytest.mark.django_db
def test_a_keyspace_that_was_made_so_is_told_with_the_way_out(access: Access) -> None:
    three = options_text({"class": "SimpleStrategy", "replication_factor": 3})
    Session(access).run_plain(f"CREATE KEYSPACE {access.keyspace} WITH replication = {three}")
    with pytest.raises(StoreMisconfigured) as refused:
        with_copies(access, 1).init()
    assert "has 3 copies, and there is 1 node, too few for LOCAL_QUORUM" in str(refused.value)
    one = options_text({"class": "SimpleStrategy", "replication_factor": 1})
    assert f"ALTER KEYSPACE {access.keyspace} WITH replication = {one}, then nodetool repair --full" in str(
        refused.value
    )


@pytest.mark.services("cassandra")
@pytest.mark.django_db
def test_a_changed_setting_is_told_for_it_changes_no_keyspace_that_is_there(access: Access) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            with_copies(access, 1).init()
    assert not [line for line in logs if line["log_level"] == "warning"]

    with capture_logs() as logs:
        with_copies(access, 2).init()
    (line,) = [line for line in logs if line["log_level"] == "warning"]
    assert line["event"] == "the keyspace is replicated otherwise than SCYLLA_REPLICATION says"
    assert "'replication_factor': 2}, then nodetool repair" in line["to_change_it"]
