"""What is remembered of clients: compared with the reference, bounded, and the same from blocks and snapshots."""

from random import Random

import pytest

from matching.core import clients as rules
from matching.core.clients import (
    CLIENT_AHEAD,
    CLIENT_FORGOTTEN,
    CLIENT_OF_ANOTHER_KEY,
    FIRST_LOG_CLIENT,
    OUT_OF_ORDER,
    REQUEST_FORGOTTEN,
    REQUEST_MISMATCH,
    WINDOW,
    Client,
    Clients,
    Judged,
    highest_id,
    new_id,
)
from matching.core.errors import BadMessage
from tests.reference.requests import ReferenceRequests

ALICE, BOB = 11, 12
NOW_NS = 1_800_000_000 * 10**9
ACCEPTED = bytes([1] * 100)  # for each command of a block


def clients_after(*requests: rules.Request) -> Clients:
    clients = Clients()
    for block, request in enumerate(requests, 1):
        clients.apply([request], ACCEPTED, block)
    return clients


def judged(clients: Clients, client_id: int, first: int, owner: int, digest: int, count: int = 1) -> Judged:
    client = clients.get(client_id)
    if client is None:
        return clients.judge_new(client_id, first, owner, NOW_NS)
    return client.judge(first, count, owner, digest)


def test_a_number_is_the_same_request_only_with_the_same_owner_and_digest() -> None:
    clients = clients_after((7, 1, ALICE, 100, 3, 0), (7, 4, ALICE, 101, 1, 0))
    assert judged(clients, 7, 1, ALICE, 100, 3) == Judged(applied=3)
    assert judged(clients, 7, 4, ALICE, 101) == Judged(applied=1)
    assert judged(clients, 7, 5, ALICE, 102) == Judged()
    assert judged(clients, 7, 1, ALICE, 101).reason == REQUEST_MISMATCH
    assert judged(clients, 7, 2, ALICE, 100).reason == REQUEST_MISMATCH
    assert judged(clients, 7, 6, ALICE, 103).reason == OUT_OF_ORDER
    assert judged(clients, 7, 5, BOB, 102).reason == CLIENT_OF_ANOTHER_KEY
    assert judged(clients, 7, 1, BOB, 100, 3).reason == CLIENT_OF_ANOTHER_KEY


def test_the_newest_batches_are_kept_and_older_ones_refused_as_forgotten() -> None:
    clients = clients_after(*((7, number, ALICE, number, 1, 0) for number in range(1, WINDOW + 3)))
    assert judged(clients, 7, 2, ALICE, 2).reason == REQUEST_FORGOTTEN
    assert judged(clients, 7, 3, ALICE, 3) == Judged(applied=1)


def test_the_parts_of_a_batch_count_as_one() -> None:
    clients = clients_after((7, 1, ALICE, 100, 2, 0), (7, 3, ALICE, 100, 2, 2), (7, 5, ALICE, 100, 2, 0))
    assert clients.known[7].batches == ((1, 100), (5, 100))
    assert judged(clients, 7, 1, ALICE, 100, 4) == Judged(applied=4)


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "IDLE_BLOCKS", 10)
    monkeypatch.setattr(rules, "CLIENTS_OF_AN_OWNER", 5)
    monkeypatch.setattr(rules, "FORGOTTEN_A_BLOCK", 2)


@pytest.mark.usefixtures("small_limits")
def test_an_idle_client_is_forgotten_and_its_id_stays_refused_to_its_owner() -> None:
    clients = clients_after((50, 1, ALICE, 1, 1, 0), (60, 1, BOB, 1, 1, 0))
    clients.apply([(70, 1, ALICE, 1, 1, 0)], ACCEPTED, 12)
    assert (list(clients.known), clients.floors) == ([70], {ALICE: 50, BOB: 60})
    assert judged(clients, 50, 2, ALICE, 2).reason == CLIENT_FORGOTTEN
    assert judged(clients, 50, 1, ALICE, 1).reason == CLIENT_FORGOTTEN
    assert judged(clients, 49, 1, ALICE, 1).reason == CLIENT_FORGOTTEN
    assert judged(clients, 51, 1, ALICE, 1) == Judged()
    assert judged(clients, 50, 1, BOB + 1, 1) == Judged(), "an id of another owner is as good as any"


@pytest.mark.usefixtures("small_limits")
def test_one_block_forgets_a_bounded_number_of_clients() -> None:
    clients = Clients()
    clients.apply([(number, 1, number, 1, 1, 0) for number in range(1, 21)], ACCEPTED, 1)
    clients.apply([(30, 1, ALICE, 1, 1, 0)], ACCEPTED, 100)
    assert len(clients) == 20 + 1 - 3
    clients.apply([], ACCEPTED, 101)
    assert len(clients) == 20 + 1 - 5


@pytest.mark.usefixtures("small_limits")
def test_an_owner_with_too_many_clients_loses_its_oldest_one() -> None:
    clients = Clients()
    clients.apply([(number, 1, ALICE, 1, 1, 0) for number in range(1, 6)], ACCEPTED, 1)
    clients.apply([(1, 2, ALICE, 2, 1, 0), (6, 1, ALICE, 1, 1, 0), (7, 1, BOB, 1, 1, 0)], ACCEPTED, 2)
    assert list(clients.known) == [3, 4, 5, 1, 6, 7]
    assert clients.floors == {ALICE: 2}


def test_log_positions_are_kept_apart_and_never_forgotten() -> None:
    clients = clients_after((FIRST_LOG_CLIENT + 5, 8, 0, 0, 0, 0))
    clients.forget_all(NOW_NS)
    assert (clients.log_positions, len(clients)) == ({FIRST_LOG_CLIENT + 5: 7}, 0)


def test_an_id_of_the_far_future_is_refused() -> None:
    clients = Clients()
    assert judged(clients, highest_id(NOW_NS), 1, ALICE, 1) == Judged()
    assert judged(clients, highest_id(NOW_NS) + 1, 1, ALICE, 1).reason == CLIENT_AHEAD
    assert judged(clients, FIRST_LOG_CLIENT - 1, 1, ALICE, 1).reason == CLIENT_AHEAD


def test_new_ids_rise_with_time_and_are_above_a_given_one() -> None:
    first = new_id(NOW_NS, 2**64 - 1)
    later = new_id(NOW_NS + 1_000_000, 0)
    assert first < later <= highest_id(NOW_NS)
    assert new_id(NOW_NS, 0, above=later) > later
    assert new_id(0, 0) > 0
    assert new_id(-5, 0) > 0


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("seed", range(20))
def test_random_batches_are_judged_as_by_the_reference(seed: int) -> None:
    rng, clients = Random(seed), Clients()
    reference = ReferenceRequests(idle_blocks=10, clients_of_an_owner=5, forgotten_a_block=2)
    block = 0
    for _ in range(800):
        client_id, owner, digest = rng.randint(1, 14), rng.choice((ALICE, BOB)), rng.randint(1, 3)
        known = clients.get(client_id)
        if known is not None and rng.random() < 0.7:
            owner = known.owner
        last = known.last_number if known is not None else 0
        first = max(1, last + 1 - rng.choice((0, 0, 0, 0, -1, 1, 2, 5, 18)))
        count = rng.randint(1, 2)
        mine = judged(clients, client_id, first, owner, digest, count)
        expected = reference.decide(client_id, owner, first, digest, highest_id(NOW_NS))
        assert (mine.reason or ("repeated" if mine.applied else "new")) == expected
        if expected != "new":
            with pytest.raises(BadMessage):
                clients.check([(client_id, first, owner, digest, count, 0)], NOW_NS)
            continue
        block += rng.choice((1, 1, 1, 4))
        request = client_id, first, owner, digest, count, 0
        clients.check([request], NOW_NS)
        clients.apply([request], ACCEPTED, block)
        reference.apply(client_id, owner, first, count, digest, block)
        assert list(clients.known) == reference.known()


def test_a_block_whose_requests_no_engine_takes_is_refused() -> None:
    clients = clients_after((7, 1, ALICE, 100, 2, 0))
    for requests in (
        [(7, 1, ALICE, 100, 2, 0)],
        [(7, 4, ALICE, 101, 1, 0)],
        [(7, 3, BOB, 101, 1, 0)],
        [(7, 3, ALICE, 101, 1, 2)],
        [(8, 2, ALICE, 101, 1, 0)],
        [(8, 1, ALICE, 101, 1, 0), (8, 1, ALICE, 101, 1, 0)],
    ):
        with pytest.raises(BadMessage, match="which no engine takes"):
            clients.check(requests, NOW_NS)
    clients.check([(7, 3, ALICE, 100, 1, 2), (7, 4, ALICE, 101, 1, 0), (8, 1, BOB, 1, 1, 0)], NOW_NS)


def test_clients_from_their_parts_are_equal() -> None:
    clients = clients_after((7, 1, ALICE, 100, 2, 0), (8, 1, BOB, 1, 1, 0), (7, 3, ALICE, 101, 1, 0))
    again = Clients.of(clients.known.items(), clients.floors.items(), clients.floor, clients.log_positions.items())
    assert again == clients
    assert list(again.known) == [8, 7]
    assert again != Clients.of([(7, Client(ALICE))], [], 0, [])


def test_whether_the_last_command_of_each_client_was_accepted_is_remembered() -> None:
    clients = Clients()
    clients.apply([(FIRST_LOG_CLIENT, 9, 0, 0, 0, 0), (7, 1, ALICE, 1, 2, 0), (8, 1, BOB, 1, 1, 0)], b"\1\0\1", 1)
    assert [client.accepted for client in clients.known.values()] == [False, True]
    clients.apply([(7, 3, ALICE, 2, 1, 0)], b"\1", 2)
    assert [client.accepted for client in clients.known.values()] == [True, True]
