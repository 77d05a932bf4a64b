"""The table of roles: as docs/roles.md shows it, and as an engine's sockets apply it."""

from dataclasses import replace

import numpy as np
import pytest

from matching.core import layout
from matching.core.blocks import Records
from matching.core.codes import CommandKind, name_of
from matching.node.command_endpoint import CommandEndpoint
from matching.node.publisher import Publisher
from matching.node.status import StatusBoard
from matching.storage.ring import Ring
from matching.transport import wire
from matching.transport.engine_roles import FOLLOWER
from matching.transport.key_register import KeyRole, RegisteredKey
from matching.transport.permissions import (
    BLOCK_READERS,
    ENGINE_VERBS,
    TABLE,
    NotPermitted,
    check_commands,
    check_message,
)
from matching.transport.sockets import ALL_ROLES
from tests.matching.roles_page import Row, shown_table
from tests.matching.small_exchange import defined_engine
from tests.matching.stages import HERE, ScriptedSocket

ACCOUNTS = (3, 5)
KEYS = {role: RegisteredKey("p" * 40, role, "alice", ACCOUNTS if role is KeyRole.TRADER else ()) for role in KeyRole}
REVOKED = {role: replace(key, revoked=True) for role, key in KEYS.items()}

COMMAND_VERBS = wire.QUESTIONS | wire.PROMOTIONS
MESSAGES = {
    wire.BLOCKS: wire.encode_numbers(1, 2),
    wire.CONFIRM: [wire.encode_confirmation(wire.Confirmation(1, 0, bytes(16)))],
    wire.SNAPSHOT: wire.encode_numbers(0, 0),
    wire.FOLLOWING: [wire.encode_addresses(HERE)],
    wire.STATUS: [b"correlation"],
}
"""Frames after the verb of each message to the retransmission socket."""


def commands(*kinds: int, account: int = ACCOUNTS[0]) -> Records:
    made = np.zeros(len(kinds), layout.COMMAND)
    made["kind"], made["account"] = kinds, account
    return made


def is_permitted(peer: RegisteredKey | None, what: "bytes | CommandKind") -> bool:
    try:
        if isinstance(what, CommandKind):
            check_commands(peer, commands(what))
        else:
            check_message(peer, what)
    except NotPermitted:
        return False
    return True


def test_the_page_shows_the_table_of_the_code() -> None:
    assert shown_table() == {
        role: Row(
            frozenset(verb.decode("ascii") for verb in permissions.verbs),
            frozenset(map(name_of, permissions.commands)),
            permissions.is_limited_to_accounts,
        )
        for role, permissions in TABLE.items()
    }


def test_every_role_and_every_message_is_in_the_table() -> None:
    assert TABLE.keys() == ALL_ROLES
    assert COMMAND_VERBS | MESSAGES.keys() == ENGINE_VERBS
    assert {verb for permissions in TABLE.values() for verb in permissions.verbs} == ENGINE_VERBS


@pytest.mark.parametrize("what", [*sorted(ENGINE_VERBS), *CommandKind])
@pytest.mark.parametrize("role", KeyRole)
def test_a_role_may_do_what_the_table_says_and_without_a_valid_key_nothing(
    role: KeyRole, what: "bytes | CommandKind"
) -> None:
    permissions = TABLE[role]
    allowed = what in permissions.commands if isinstance(what, CommandKind) else what in permissions.verbs
    assert is_permitted(KEYS[role], what) is allowed
    assert not is_permitted(REVOKED[role], what)
    assert not is_permitted(None, what)


def test_a_trader_uses_only_its_own_accounts() -> None:
    trader = KEYS[KeyRole.TRADER]
    check_commands(trader, commands(CommandKind.ORDER, CommandKind.CANCEL_ALL, account=5))
    mixed = commands(CommandKind.ORDER, CommandKind.CANCEL_ALL)
    mixed["account"] = 5, 4
    with pytest.raises(NotPermitted, match=r"^The trader key alice may not use account 4 \(number 2 of the batch\)"):
        check_commands(trader, mixed)
    with pytest.raises(NotPermitted, match="may not use account 3: that needs"):
        check_commands(replace(trader, accounts=()), commands(CommandKind.ORDER))


def test_the_sentence_names_role_command_and_what_is_needed() -> None:
    with pytest.raises(NotPermitted) as deposit:
        check_commands(KEYS[KeyRole.TRADER], commands(CommandKind.ORDER, CommandKind.DEPOSIT))
    assert str(deposit.value) == (
        "The trader key alice may not send the command deposit (number 2 of the batch): that needs a key with the role "
        "treasury or local."
    )
    with pytest.raises(NotPermitted) as promotion:
        check_message(KEYS[KeyRole.OBSERVER], wire.PROMOTE)
    assert str(promotion.value) == (
        "The observer key alice may not send the message promote: that needs a key with the role operator or local."
    )
    with pytest.raises(NotPermitted, match=r"^This key is not in the key register"):
        check_message(None, wire.STATUS)
    with pytest.raises(NotPermitted, match=r"^The trader key alice is revoked"):
        check_message(REVOKED[KeyRole.TRADER], wire.STATUS)


def test_a_code_that_is_no_command_is_left_to_the_check_of_the_form() -> None:
    for role in (KeyRole.LOCAL, KeyRole.TREASURY):
        check_commands(KEYS[role], commands(0, 200, 255))


# As an engine applies it


class Engine:
    """A follower's sockets: it refuses all batches that are permitted with the code `follower`."""

    def __init__(self) -> None:
        engine, ring = defined_engine(), Ring(10, 1 << 20)
        self.board = StatusBoard(engine, ring, HERE, FOLLOWER, "none")
        self.commands, self.retransmission = ScriptedSocket(), ScriptedSocket()
        self.endpoint = CommandEndpoint(self.commands, engine, self.board, self.board.counters, lambda: 0.0)
        self.publisher = Publisher(ScriptedSocket(), self.retransmission, ring, self.board, lambda: 1.0)

    def ask(self, peer: RegisteredKey | None, *frames: bytes) -> list[list[bytes]]:
        """What the command socket answers, without the sender."""
        self.commands.peer = peer
        self.commands.inbox.append([b"sender", *frames])
        self.taken = self.endpoint.receive()
        sent, self.commands.sent = self.commands.sent, []
        return [message[1:] for message in sent]

    def ask_retransmission(self, peer: RegisteredKey | None, *frames: bytes) -> list[list[bytes]]:
        self.retransmission.peer = peer
        self.retransmission.inbox.append([b"sender", *frames])
        self.publisher.serve()
        sent, self.retransmission.sent = self.retransmission.sent, []
        return [message[1:] for message in sent]


def codes(answers: list[list[bytes]]) -> list[str]:
    """Codes of the refusals in these answers."""
    return [wire.decode_refused(answer[1]).code for answer in answers if answer[0] == wire.REFUSED]


@pytest.mark.parametrize("peer", [*KEYS.values(), REVOKED[KeyRole.LOCAL], None], ids=str)
def test_the_command_socket_answers_only_what_the_senders_role_may_ask(peer: RegisteredKey | None) -> None:
    engine = Engine()
    for number, verb in enumerate(sorted(COMMAND_VERBS)):
        correlation = b"%d" % number
        answers = engine.ask(peer, verb, correlation)
        if is_permitted(peer, verb):
            assert codes(answers) == []
            assert len(engine.endpoint.promotions) == (verb in wire.PROMOTIONS)
            engine.endpoint.promotions.clear()
        else:
            assert codes(answers) == [wire.NOT_PERMITTED]
            assert answers[0][2] == correlation
            assert engine.endpoint.promotions == []


@pytest.mark.parametrize("peer", [*KEYS.values(), REVOKED[KeyRole.LOCAL], None], ids=str)
def test_the_retransmission_socket_answers_only_what_the_senders_role_may_ask(peer: RegisteredKey | None) -> None:
    engine = Engine()
    for verb, rest in MESSAGES.items():
        refused = codes(engine.ask_retransmission(peer, verb, *rest))
        assert (refused == [wire.NOT_PERMITTED]) is not is_permitted(peer, verb)
        assert wire.BAD_MESSAGE not in refused
        assert (engine.board.followers == [HERE]) is (verb == wire.FOLLOWING and is_permitted(peer, verb))
        engine.board.followers = []


@pytest.mark.parametrize("peer", [*KEYS.values(), REVOKED[KeyRole.LOCAL], None], ids=str)
def test_a_batch_with_one_forbidden_command_is_refused_whole_before_it_is_sequenced(peer: RegisteredKey | None) -> None:
    engine = Engine()
    for kind in CommandKind:
        batch = wire.encode_batch(7, 4, commands(kind, kind), b"")
        answers = engine.ask(peer, wire.COMMANDS, batch)
        if is_permitted(peer, kind):
            assert answers == []
            assert [len(taken.commands) for _, taken, _ in engine.taken] == [2]
            continue
        assert engine.taken == []
        refused = wire.decode_refused(answers[0][1])
        assert (refused.code, refused.client, refused.first_number) == (wire.NOT_PERMITTED, 7, 4)
    assert engine.board.counters.bad_messages == 0


def test_refusals_are_counted() -> None:
    engine = Engine()
    engine.ask(None, wire.STATUS, b"1")
    engine.ask_retransmission(KEYS[KeyRole.OBSERVER], wire.CONFIRM, *wire.encode_numbers(1))
    assert engine.board.counters.not_permitted == 2


def test_a_state_that_is_deferred_is_judged_by_its_own_sender() -> None:
    engine = Engine()
    engine.commands.peer = KEYS[KeyRole.LOCAL]
    engine.commands.inbox += [[b"a", wire.STATE, b"1"], [b"b", wire.STATE, b"2"]]
    engine.endpoint.receive()
    engine.commands.peer = None  # as after a message of a stranger
    engine.endpoint.receive()
    assert [message[1] for message in engine.commands.sent] == [wire.STATE, wire.STATE]


def test_the_block_socket_admits_the_roles_that_read_blocks() -> None:
    readers = {"gateway", "settlement", "engine", "follower", "observer", "local"}
    assert {role.value for role in BLOCK_READERS} == readers
