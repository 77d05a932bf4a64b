"""A keyspace of an earlier version gets the hashes of its blocks, even if the process that writes them is killed."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from settlement import wiring
from settlement.stores.base import StoredCheckpoint, StoreUnavailable, StoreUninitialized
from settlement.stores.scylla.connection.session import Session
from settlement.stores.scylla.store import ScyllaStore
from settlement.stores.sql.store import SqlStore
from tests.settlement.rows import block
from tests.settlement.stores.scylla.test_layout import own_keyspace as own_keyspace  # a fixture

pytestmark = pytest.mark.services("cassandra")

LAST = 200


@pytest.fixture
def earlier_store(own_keyspace: Session) -> ScyllaStore:
    """With blocks, and without the table of their hashes."""
    ScyllaStore(own_keyspace.access, SqlStore()).append_blocks([block(number) for number in range(1, LAST + 1)])
    own_keyspace.run_plain(f"DROP TABLE {own_keyspace.access.keyspace}.blocks_by_hash")
    # A connection of its own, which looks at the tables.
    return ScyllaStore(replace(own_keyspace.access, in_flight=3), SqlStore())


def numbers_found(store: ScyllaStore, numbers: Iterable[int]) -> list[int]:
    return [found.number for number in numbers for found in store.blocks_of_hash(block(number).hash)]


def test_the_process_that_writes_fills_the_table(earlier_store: ScyllaStore) -> None:
    with pytest.raises(StoreUninitialized, match="lacks blocks_by_hash: "):
        earlier_store.ping()
    wiring.make_tables_if_missing(earlier_store)
    assert numbers_found(earlier_store, range(1, LAST + 1)) == list(range(1, LAST + 1))
    earlier_store.append_blocks([block(LAST + 1)])
    assert numbers_found(earlier_store, [LAST + 1]) == [LAST + 1]


def test_an_interrupted_filling_is_completed_by_the_next_start(
    earlier_store: ScyllaStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, sent = Session.send, []

    def failing(session: Session, batches: Iterable[object], in_flight: int | None = None) -> None:
        sent.append(list(batches))
        if len(sent) > 3:
            raise StoreUnavailable("The network is away.")
        send(session, sent[-1], in_flight)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Session, "send", failing)
        with pytest.raises(StoreUnavailable):
            wiring.make_tables_if_missing(earlier_store)
    known = numbers_found(earlier_store, range(1, LAST + 1))
    assert 0 < len(known) < LAST
    assert 1 not in known
    wiring.make_tables_if_missing(earlier_store)
    assert numbers_found(earlier_store, range(1, LAST + 1)) == list(range(1, LAST + 1))


def test_a_filled_table_is_not_filled_again(earlier_store: ScyllaStore, monkeypatch: pytest.MonkeyPatch) -> None:
    wiring.make_tables_if_missing(earlier_store)

    def fail(*arguments: object) -> None:
        pytest.fail("it writes again")

    monkeypatch.setattr(Session, "send", fail)
    earlier_store.carry_over()


def test_checkpoints_of_an_earlier_version_get_their_digests_once(
    own_keyspace: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = ScyllaStore(own_keyspace.access, SqlStore())
    earlier.append_blocks([block(number) for number in range(1, 4)])
    for number in (1, 3):
        document = b'{"checkpoint":{"digest":"%064x"}}' % number
        earlier.put_signed_checkpoint(StoredCheckpoint(number, "settlement-local", document))
    own_keyspace.run_plain(f"DROP TABLE {own_keyspace.access.keyspace}.checkpoints_by_digest")
    store = ScyllaStore(replace(own_keyspace.access, in_flight=3), SqlStore())
    with pytest.raises(StoreUninitialized, match="lacks checkpoints_by_digest: "):
        store.ping()
    wiring.make_tables_if_missing(store)
    found = [store.checkpoints_of_digest(f"{number:064x}") for number in range(1, 4)]
    assert [[one.block_number for one in each] for each in found] == [[1], [], [3]]

    def fail(*arguments: object) -> None:
        pytest.fail("it writes again")

    monkeypatch.setattr(Session, "run_many", fail)
    store.carry_over()
