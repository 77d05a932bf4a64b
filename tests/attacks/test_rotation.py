"""The key of a trader is replaced while it trades: every answer arrives, and nothing is applied twice."""

import pytest

from matching.client.client import Client
from matching.transport import wire
from matching.transport.key_register import KeyRole
from tests.attacks.conftest import Site, until_refused

pytestmark = pytest.mark.processes

BATCHES = 40
COMMAND = {"command": "cancel_all", "account": 2}


def test_a_trader_changes_its_key_and_loses_no_answer(site: Site) -> None:
    before = site.client().status()["command_sequence"]
    old, answered = site.new_key(KeyRole.TRADER, "alice", 2), 0
    with Client(site.commands, client_id=77, make_network=site.network(old)) as client:
        for _ in range(BATCHES):
            answered += len(client.call([COMMAND] * 5))
        new = site.new_key(KeyRole.TRADER, "alice-2", 2)
        site.revoke(old)
        more, refused = until_refused(client, lambda _: COMMAND)
        answered += more
        assert refused.code == wire.NOT_PERMITTED
    with Client(site.commands, client_id=77, first_number=answered + 1, make_network=site.network(new)) as client:
        for _ in range(BATCHES):
            answered += len(client.call([COMMAND] * 5))
    assert site.client().status()["command_sequence"] - before == answered
