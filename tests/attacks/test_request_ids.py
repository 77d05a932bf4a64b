"""The numbers of a client's requests, used by another key or twice: the owner is never told of another's order."""

import pytest

from matching.client.client import Client
from matching.core.blocks import Block
from matching.core.errors import EngineRefused
from matching.transport import wire
from matching.transport.key_register import KeyRole, OwnKey
from matching.transport.parts import joined
from matching.transport.sockets import Kind
from tests.attacks.conftest import Site
from tests.matching.small_exchange import deposit, until

pytestmark = pytest.mark.processes

OWN, OF_ANOTHER = 1, 2


def order(account: int) -> dict[str, object]:
    return {
        "command": "order",
        "account": account,
        "symbol": "BTC-USD",
        "side": "sell",
        "order_type": "limit",
        "price": "100.00",
        "quantity": "1",
        "client_order_id": f"of-{account}",
    }


def ids_in_the_block_stream(site: Site, number: int, reader: OwnKey) -> list[tuple[int, int]]:
    """(client, first number of its next request) of a block, as anybody may read them who may read blocks."""
    network = site.network(reader)()
    socket = network.connect(Kind.DEALER, site.engine.address("RETRANSMIT"), wire.READER_LIMITS)
    try:
        socket.send(wire.BLOCKS, *wire.encode_numbers(number, number))
        found: list[Block] = []

        def has_come() -> bool:
            network.wait([socket], 0.1)
            while (frames := socket.receive()) is not None:
                if frames[0] == wire.BLOCK:
                    found.append(Block.decode(joined(frames[1:])))
            return bool(found)

        until(has_come, "the block")
    finally:
        socket.close()
        network.close()
    requests = found[0].requests
    return [
        (int(client), int(first) + int(count))
        for client, first, count in zip(
            requests["client"], requests["first_number"], requests["command_count"], strict=True
        )
    ]


def test_a_client_id_read_from_the_block_stream_cannot_be_used_with_another_key(site: Site) -> None:
    site.client().call([deposit(OWN, "own"), deposit(OF_ANOTHER, "another")])
    owner = site.client(site.new_key(KeyRole.TRADER, "alice", OWN))
    owner.call([{"command": "cancel_all", "account": OWN}])
    observer = site.new_key(KeyRole.OBSERVER, "mallory-reads")
    ((stolen, following),) = ids_in_the_block_stream(site, site.block(), observer)
    thief = Client(
        site.commands,
        client_id=stolen,
        first_number=following,
        make_network=site.network(site.new_key(KeyRole.TRADER, "mallory", OF_ANOTHER)),
    )
    with thief, pytest.raises(EngineRefused, match=rf"^Client id {stolen} belongs to another key") as refused:
        thief.call([order(OF_ANOTHER)])
    assert refused.value.code == wire.CLIENT_OF_ANOTHER_KEY
    (result,) = owner.call([order(OWN)])
    assert [(event["event"], event["account"]) for event in result.events] == [("order_accepted", OWN)]


def test_a_number_used_twice_with_other_content_is_refused_and_not_answered_as_done(site: Site) -> None:
    site.client().call([deposit(OWN, "own")])
    key = site.new_key(KeyRole.TRADER, "alice", OWN, OF_ANOTHER)
    with Client(site.commands, client_id=77, make_network=site.network(key)) as first:
        first.call([{"command": "cancel_all", "account": OF_ANOTHER}])
        before = site.block()
    with Client(site.commands, client_id=77, make_network=site.network(key)) as second:
        with pytest.raises(EngineRefused, match=r"^Commands 1 to 1 of client 77 were not applied") as refused:
            second.call([order(OWN)])
        assert refused.value.code == wire.REQUEST_MISMATCH
        assert site.block() == before
        (result,) = second.call([order(OWN)])  # with a new client id
        assert [event["event"] for event in result.events] == ["order_accepted"]


def test_the_same_batch_sent_again_is_still_answered_as_before(site: Site) -> None:
    site.client().call([deposit(OWN, "own")])
    key = site.new_key(KeyRole.TRADER, "alice", OWN)
    answers = []
    for _ in range(2):
        with Client(site.commands, client_id=77, make_network=site.network(key)) as client:
            answers.append(client.call([order(OWN)]))
    assert answers[0] == answers[1]
    assert answers[0][0].rejected is None


def test_numbers_that_are_older_than_what_is_kept_are_refused_as_forgotten(site: Site) -> None:
    key = site.new_key(KeyRole.TRADER, "alice", OWN)
    command = {"command": "cancel_all", "account": OWN}
    with Client(site.commands, client_id=77, make_network=site.network(key)) as client:
        for _ in range(20):
            client.call([command])
    before = site.block()
    with Client(site.commands, client_id=77, make_network=site.network(key)) as client:
        with pytest.raises(EngineRefused, match=r"no longer knows for which commands") as refused:
            client.call([command])
        assert refused.value.code == wire.REQUEST_FORGOTTEN
    assert site.block() == before
