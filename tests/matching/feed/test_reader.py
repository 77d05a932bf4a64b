import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import zmq

from exchange_site.operations.free_addresses import free_ports
from matching.client.client import Client
from matching.core.blocks import Block
from matching.core.errors import BadBlock, EngineUnreachable
from matching.feed.reader import Feed
from matching.feed.silence import MAX_POLL_INTERVAL_S
from matching.transport import wire
from matching.transport.network import ZmqNetwork
from matching.transport.sockets import Kind, Limits, RawSocket, Undelivered, ZmqSocket
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching.histories import STORE
from tests.matching.small_exchange import (
    Running,
    confirmation,
    defined_engine,
    deposit,
    leader,
    plan,
    until,
    until_heard,
)
from tests.matching.stages import LEADER, Stage


@pytest.fixture
def client(running_leader: Running) -> Iterator[Client]:
    with Client(running_leader.commands) as made:
        made.call(DEFINITIONS)
        yield made


def feed_of(running: Running) -> Feed:
    feed = Feed(running.plan.addresses.blocks, running.plan.addresses.retransmission)
    until_heard(feed, feed.status, "the first heartbeat")
    return feed


def collect(feed: Feed, count: int) -> list[Block]:
    found: list[Block] = []

    def all_there() -> bool:
        found.extend(feed.receive(0.1, 10))
        return len(found) >= count

    until(all_there, f"{count} blocks")
    return found


def test_blocks_arrive_as_they_are_made(running_leader: Running, client: Client) -> None:
    with closing(feed_of(running_leader)) as feed:
        for number in range(5):
            client.call([deposit(1, f"{number}")])
        blocks = collect(feed, 5)
        assert [block.number for block in blocks] == [4, 5, 6, 7, 8]
        assert feed.newest() == 8
        for block in blocks[1:]:
            block.verify(block.number, blocks[block.number - 5].hash)


def test_any_number_of_missed_blocks_is_retransmitted() -> None:
    with leader(plan(block_commands=1)) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        client.call([deposit(1, f"{number}") for number in range(700)])
        with closing(feed_of(running)) as feed:
            assert feed.newest() == 703
            feed.request(2, 703)
            blocks = collect(feed, 702)
            assert [block.number for block in blocks] == list(range(2, 704))
            assert feed.missing() is None
            assert feed.receive(0.7, 10) == [], "nothing is requested again after all blocks have arrived"


@pytest.mark.parametrize(("first", "last"), [(1, 3), (1, 1), (100, 200)])
def test_blocks_that_the_engine_no_longer_holds_are_reported_missing(first: int, last: int) -> None:
    with leader(plan(ring_blocks=4)) as running, Client(running.commands) as client:
        client.call(DEFINITIONS)
        with closing(feed_of(running)) as feed:
            for number in range(4, 8):
                feed.confirm(confirmation(running, number - 1))
                client.call([deposit(1, f"{number}")])
            until_heard(feed, lambda: running.parts.ring.first == 4, "the first blocks to be dropped")
            feed.request(first, last)
            until_heard(feed, feed.missing, "the answer that blocks are missing")
            assert feed.missing() == (first, 4)
            feed.request(5, 6)
            assert feed.missing() is None
            assert [block.number for block in collect(feed, 2)] == [5, 6]


def test_a_confirmation_is_repeated_to_an_engine_that_lacks_it(running_leader: Running, client: Client) -> None:
    with closing(feed_of(running_leader)) as feed:
        ring = running_leader.parts.ring
        client.call([deposit(1, "a")])
        client.call([deposit(1, "b")])
        feed.confirm(confirmation(running_leader, 5))
        until_heard(feed, lambda: ring.confirmed == 5, "the confirmation")
        ring.unconfirm_after(3)
        until_heard(feed, lambda: ring.confirmed == 5, "the confirmation again")


@pytest.mark.parametrize("of", [lambda a: a.commands, lambda a: a.blocks, lambda a: a.retransmission])
def test_an_engine_is_discovered_through_any_of_its_addresses(
    running_leader: Running, client: Client, of: Callable[[wire.Addresses], str]
) -> None:
    with closing(Feed.discover(of(running_leader.plan.addresses), 10)) as feed:
        feed.request(1, 3)
        assert [block.number for block in collect(feed, 3)] == [1, 2, 3]


class RefusedDealers(ZmqNetwork):
    """Returns a dealer only once the other end has refused it, as happens to a thread that had to wait meanwhile."""

    def __init__(self, refusing: str) -> None:
        super().__init__()
        self.refusing = refusing

    def connect(self, kind: Kind, address: str, limits: Limits, topic: bytes = b"") -> ZmqSocket:
        socket = super().connect(kind, address, limits, topic)
        if kind is Kind.DEALER and address == self.refusing:
            until(lambda: not is_sent(socket), "the dealer to be refused")
        return socket


def is_sent(socket: ZmqSocket) -> bool:
    try:
        socket.send(b"status", b"status")
    except Undelivered:
        return False
    return True


def test_an_engine_is_discovered_through_its_blocks_after_the_question_for_its_status_was_refused(
    running_leader: Running, client: Client
) -> None:
    blocks = running_leader.plan.addresses.blocks
    with closing(Feed.discover(blocks, 10, make_network=lambda: RefusedDealers(blocks))) as feed:
        feed.request(1, 3)
        assert [block.number for block in collect(feed, 3)] == [1, 2, 3]


def test_discovery_of_an_unreachable_engine_ends_with_the_timeout() -> None:
    (port,) = free_ports(1)
    with pytest.raises(EngineUnreachable, match=f"No engine answers at tcp://127.0.0.1:{port}"):
        Feed.discover(f"tcp://127.0.0.1:{port}", 0.3)


def test_an_engine_with_a_wildcard_address_is_reached_at_the_host_where_it_was_discovered(
    context: zmq.Context[RawSocket],
) -> None:
    ports = free_ports(3)
    publisher = context.socket(zmq.PUB)
    publisher.bind(f"tcp://127.0.0.1:{ports[0]}")
    status = {
        "role": "leader",
        "block": 9,
        "state_hash": "ff",
        "ring": {"confirmed": 0},
        "addresses": {
            "commands": f"tcp://0.0.0.0:{ports[1]}",
            "blocks": f"tcp://0.0.0.0:{ports[0]}",
            "retransmission": f"tcp://0.0.0.0:{ports[2]}",
        },
    }

    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.02):
            publisher.send_multipart([wire.STATUS, wire.encode_json(status)])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with closing(Feed.discover(f"tcp://127.0.0.1:{ports[0]}", 10)) as feed:
            until_heard(feed, lambda: feed.newest() == 9, "a heartbeat")
    finally:
        stop.set()
        thread.join()


def test_an_invalid_block_raises_and_unknown_messages_are_ignored(context: zmq.Context[RawSocket]) -> None:
    ports = free_ports(2)
    publisher = context.socket(zmq.XPUB)
    publisher.bind(f"tcp://127.0.0.1:{ports[0]}")
    retransmission = context.socket(zmq.ROUTER)
    retransmission.bind(f"tcp://127.0.0.1:{ports[1]}")
    with closing(Feed(f"tcp://127.0.0.1:{ports[0]}", f"tcp://127.0.0.1:{ports[1]}")) as feed:
        assert publisher.poll(10_000), "the feed subscribes"
        for frames in ([b"status", b"{}"], [b"sent"], [b"missing", b"1"], [b"nonsense"], [b""], [b"refused", b"x"]):
            publisher.send_multipart(frames)
        publisher.send_multipart([b"block", b"garbage"])
        with pytest.raises(BadBlock, match="at least 80 bytes"):
            until_heard(feed, lambda: False, "the bad block")


OTHER = wire.Addresses("tcp://other:1", "tcp://other:2", "tcp://other:3")


def heartbeat(stage: Stage, address: str, epoch: int, confirmed: int = 0) -> None:
    stage.leader.epoch = epoch
    stage.say(confirmed)
    stage.network.sockets[address].inbox.append(stage.network.sockets[LEADER.blocks].inbox.pop())


CONFIRMED = wire.Confirmation(3, 33, STORE)


@pytest.fixture
def stage() -> Stage:
    return Stage(defined_engine(), defined_engine())


def test_a_feed_that_moves_forgets_the_old_engine_and_confirms_to_the_new_one(stage: Stage) -> None:
    feed = stage.feed
    heartbeat(stage, LEADER.blocks, 1)
    stage.to_leader.inbox.append([wire.MISSING, *wire.encode_numbers(1, 2)])
    feed.confirm(CONFIRMED)
    feed.request(1, 2)
    feed.receive(0, 10)
    assert (feed.newest(), feed.missing(), feed.status() is None) == (3, (1, 2), False)
    before = [stage.network.sockets[address] for address in (LEADER.blocks, LEADER.retransmission)]
    feed.move(OTHER)
    assert [socket.is_closed for socket in before] == [True, True]
    assert (feed.newest(), feed.missing(), feed.status()) == (0, None, None)
    assert list(feed.sockets) == [stage.network.sockets[OTHER.blocks], stage.network.sockets[OTHER.retransmission]]
    heartbeat(stage, OTHER.blocks, 2)
    feed.receive(0, 10)
    assert stage.network.sockets[OTHER.retransmission].sent == [[wire.CONFIRM, wire.encode_confirmation(CONFIRMED)]]
    stage.network.now_s += 1
    feed.receive(0, 10)
    assert stage.network.sockets[OTHER.retransmission].take_sent(wire.BLOCKS) == [], "the request is dropped"


def test_a_refusal_of_a_confirmation_is_kept_until_the_feed_moves(stage: Stage) -> None:
    feed = stage.feed
    for code in (wire.BAD_MESSAGE, wire.WRONG_STORE):
        stage.to_leader.inbox.append([wire.REFUSED, wire.encode_refused(wire.Refused(code, "No."))])
    feed.receive(0, 10)
    refusal = feed.refusal()
    assert refusal is not None
    assert refusal.code == wire.WRONG_STORE
    feed.move(OTHER)
    assert feed.refusal() is None


def test_after_a_move_blocks_of_an_older_epoch_are_ignored(stage: Stage) -> None:
    feed = stage.feed
    (old,) = stage.make()
    heartbeat(stage, LEADER.blocks, 2)
    feed.receive(0, 10)
    feed.move(OTHER)
    stage.network.now_s += 5
    heartbeat(stage, OTHER.blocks, 1)
    blocks, retransmission = (stage.network.sockets[address] for address in (OTHER.blocks, OTHER.retransmission))
    blocks.inbox.append([wire.BLOCK, old.data])
    assert feed.receive(0, 10) == []
    assert (feed.status(), feed.newest()) == (None, 0)
    assert feed.silent_for_s() > 0
    # A retransmitted block may have been made before the newest epoch began.
    feed.request(4, 4)
    retransmission.inbox.append([wire.BLOCK, old.data])
    assert [block.number for block in feed.receive(0, 10)] == [4]
    heartbeat(stage, OTHER.blocks, 2)
    feed.receive(0, 10)
    assert feed.newest() == 4


def test_a_feed_measures_how_long_the_engine_is_silent(stage: Stage) -> None:
    stage.feed.receive(3, 10)
    assert stage.feed.silent_for_s() == pytest.approx(3)
    stage.say()
    stage.feed.receive(0, 10)
    assert stage.feed.silent_for_s() == 0
    stage.feed.receive(2, 10)
    assert stage.feed.silent_for_s() == pytest.approx(2)
    stage.show(*stage.make())
    stage.feed.receive(0, 10)
    assert stage.feed.silent_for_s() == 0


@pytest.mark.parametrize("away_s", [6, 10**6])
def test_time_without_listening_does_not_count_as_silence(stage: Stage, away_s: int) -> None:
    """The reader was busy or stopped, or its machine was suspended: the sockets' thread is then behind as well."""
    stage.say()
    stage.feed.receive(0, 10)
    stage.network.now_s += away_s
    assert stage.feed.silent_for_s() == 0
    assert stage.feed.receive(0, 10) == []
    assert stage.feed.silent_for_s() == MAX_POLL_INTERVAL_S
    stage.say()
    stage.feed.receive(0, 10)
    assert stage.feed.silent_for_s() == 0


def test_a_wait_prolonged_by_a_pause_does_not_count_as_long_silence(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(sockets: object, timeout_s: float) -> bool:
        stage.network.now_s += 600
        return False

    monkeypatch.setattr(stage.network, "wait", stopped)
    stage.feed.receive(0.1, 10)
    assert stage.feed.silent_for_s() == MAX_POLL_INTERVAL_S


def test_a_silent_engine_is_asked_for_its_status_and_the_answer_ends_the_silence(stage: Stage) -> None:
    stage.feed.receive(0.9, 10)
    assert stage.to_leader.take_sent(wire.STATUS) == []
    stage.feed.receive(2, 10)
    (question, *more) = stage.to_leader.take_sent(wire.STATUS)
    assert 2 <= len(more) <= 4
    stage.to_leader.inbox.append([wire.STATUS, stage.status(), *question])
    stage.feed.receive(0, 10)
    assert (stage.feed.silent_for_s(), stage.feed.newest()) == (0, 3)


def test_a_running_engine_answers_status_requests_on_its_retransmission_socket(
    running_leader: Running, client: Client
) -> None:
    """No engine publishes at the block address here."""
    (nobody,) = free_ports(1)
    running = running_leader.plan.addresses
    with closing(Feed(f"tcp://127.0.0.1:{nobody}", running.retransmission)) as feed:
        until_heard(feed, feed.status, "an answer")
        assert feed.silent_for_s() < MAX_POLL_INTERVAL_S
        assert feed.newest() == 3
