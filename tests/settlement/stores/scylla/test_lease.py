"""The lock of a keyspace: one process at a time, and a process that has ended does not hold it."""

import os
import subprocess
import sys

import pytest

from settlement import lock
from settlement.errors import AlreadyRunning
from settlement.stores.scylla.connection.access import Access
from settlement.stores.scylla.lease import ScyllaLease
from tests.conftest import scylla_shards
from tests.matching.small_exchange import until

pytestmark = pytest.mark.services("cassandra")

STORE = "the store"


@pytest.fixture
def lease(scylla_access: Access) -> ScyllaLease:
    return ScyllaLease(scylla_access, shard=next(scylla_shards))


def is_lost(held: lock.StoreLock) -> bool:
    try:
        held.check()
    except AlreadyRunning:
        return True
    return False


def test_a_second_process_is_refused_until_the_first_one_ends(lease: ScyllaLease) -> None:
    lease.take("settlement on another-machine, process 7|elsewhere|7|1")
    says = r"works on the store \(settlement on another-machine, process 7\): stop it first. If it was killed, its lock"
    with pytest.raises(AlreadyRunning, match=says), lock.of_lease(lease, STORE):
        pass
    lease.end("settlement on another-machine, process 7|elsewhere|7|1")
    for _ in range(2):
        with lock.of_lease(lease, STORE) as held:
            held.check()


def test_a_process_of_this_machine_that_has_ended_holds_nothing(lease: ScyllaLease) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number in (ended.pid, os.getpid()):  # the second one is as in a container that was started again
        lease.take(f"settlement here|{lock._place()}|{number}|1")
        with lock.of_lease(lease, STORE) as held:
            held.check()
    running = f"settlement here|{lock._place()}|{os.getppid()}|1"
    lease.take(running)
    with pytest.raises(AlreadyRunning), lock.of_lease(lease, STORE):
        pass


def test_a_lock_that_is_not_renewed_ends_by_itself(lease: ScyllaLease) -> None:
    lease.ttl_s = 1
    lease.take("settlement elsewhere||7|1")
    until(lambda: lease.take("settlement here||8|1") == "settlement here||8|1", "the end of the lock")


def test_a_process_that_renews_keeps_it_and_learns_of_a_loss(
    lease: ScyllaLease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "RENEW_S", 0.05)
    lease.ttl_s = 2
    with lock.of_lease(lease, STORE) as held:
        owner = lease.take("settlement elsewhere||7|1")
        assert owner != "settlement elsewhere||7|1"
        assert not is_lost(held)
        lease.take("settlement elsewhere||7|1", instead_of=owner)  # as after a pause that was longer than ttl_s
        lease.ttl_s = 30
        until(lambda: is_lost(held), "the loss to be noticed")
    assert lease.take("settlement later||9|1") == "settlement elsewhere||7|1"
