"""Which confirmations let a ring drop blocks, and which are refused."""

import pytest
from structlog.testing import capture_logs

from matching.core.blocks import Block
from matching.node.retransmission.confirmations import Confirmations
from matching.node.status import Counters
from matching.storage.history import StoredUpTo
from matching.storage.ring import Ring
from matching.transport import wire
from tests.matching.histories import STORE
from tests.matching.small_exchange import defined_engine, deposit
from tests.matching.stages import one_block

PEER = b"\x00peer"
FIRST, LAST = 4, 9


class Judged:
    """Confirmations of an engine that leads, whose ring has blocks FIRST to LAST, and a clock."""

    def __init__(self) -> None:
        engine = defined_engine()
        self.ring, self.counters, self.now_s = Ring(100, 1 << 20), Counters(), 0.0
        self.blocks: dict[int, Block] = {}
        for number in range(FIRST, LAST + 1):
            self.blocks[number] = one_block(engine, [deposit(1, f"{number}")])
            self.ring.append(self.blocks[number])
        self.confirmations = Confirmations(self.ring, self.counters, lambda: self.now_s)
        self.confirmations.begin(STORE)

    def told(self, number: int, **changed: object) -> wire.Confirmation:
        return wire.Confirmation(number, self.blocks[number].hash, STORE)._replace(**changed)  # type: ignore[arg-type]


@pytest.fixture
def judged() -> Judged:
    return Judged()


def test_a_confirmation_of_the_own_store_and_block_counts(judged: Judged) -> None:
    assert judged.confirmations.take(PEER, judged.told(7)) is None
    assert judged.ring.confirmed == 7


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"store": bytes(16)}, wire.WRONG_STORE), ({"hash": 1}, wire.WRONG_BLOCK), ({"hash": 0}, wire.WRONG_BLOCK)],
)
def test_another_store_or_hash_is_refused_and_drops_nothing(
    judged: Judged, changed: dict[str, object], code: str
) -> None:
    for number in (7, LAST):
        refused = judged.confirmations.take(PEER, judged.told(number, **changed))
        assert refused is not None
        assert refused.code == code
    assert (judged.ring.confirmed, judged.counters.refused_confirmations) == (FIRST - 1, 2)


@pytest.mark.parametrize("number", [1, 2, LAST + 1, 1 << 62])
def test_blocks_that_the_ring_does_not_have_are_ignored(judged: Judged, number: int) -> None:
    assert judged.confirmations.take(PEER, wire.Confirmation(number, 1, STORE)) is None
    assert (judged.ring.confirmed, judged.counters.refused_confirmations) == (FIRST - 1, 0)


def test_another_store_is_refused_whatever_block_it_names(judged: Judged) -> None:
    """So a settlement with an empty store learns it before it has stored a block."""
    for number in (0, 1, LAST + 1):
        refused = judged.confirmations.take(PEER, wire.Confirmation(number, 0, bytes(16)))
        assert refused is not None
        assert refused.code == wire.WRONG_STORE


def test_an_engine_that_does_not_lead_ignores_confirmations(judged: Judged) -> None:
    follower = Confirmations(judged.ring, judged.counters, lambda: 0.0)
    for store in (STORE, b"", bytes(16)):
        assert follower.take(PEER, judged.told(7, store=store)) is None
    assert (judged.ring.confirmed, judged.counters.refused_confirmations) == (FIRST - 1, 0)


def test_refusals_are_logged_once_a_peer_and_kind_and_never_flood_the_log(judged: Judged) -> None:
    forged = [judged.told(7, store=bytes(16)), judged.told(7, hash=1)]
    with capture_logs() as logs:
        for _ in range(100):
            for one in forged:
                judged.confirmations.take(PEER, one)
    assert [(entry["event"], entry["peer"], entry["code"]) for entry in logs] == [
        ("engine.confirmation_refused", PEER.hex(), wire.WRONG_STORE),
        ("engine.confirmation_refused", PEER.hex(), wire.WRONG_BLOCK),
    ]
    with capture_logs() as logs:
        for peer in range(1000):
            judged.confirmations.take(peer.to_bytes(4), forged[0])
    assert len(logs) == 62
    judged.now_s += 3600
    with capture_logs() as logs:
        judged.confirmations.take(PEER, forged[0])
    assert len(logs) == 1
    assert judged.counters.refused_confirmations == 1201


def test_what_the_store_was_read_to_have_is_confirmed_and_may_leave_the_log(judged: Judged) -> None:
    for number, expected in ((6, 6), (5, 6), (LAST, LAST)):
        judged.confirmations.note_stored(StoredUpTo(number, judged.blocks[number].hash))
        assert (judged.confirmations.stored, judged.ring.confirmed) == (expected, expected)


def test_a_confirmation_lets_nothing_leave_the_log(judged: Judged) -> None:
    judged.confirmations.take(PEER, judged.told(LAST))
    assert (judged.confirmations.stored, judged.ring.confirmed) == (0, LAST)


def test_a_store_with_another_block_is_an_error_in_the_log_and_nothing_is_dropped(judged: Judged) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            judged.confirmations.note_stored(StoredUpTo(7, 1))
    assert [(entry["log_level"], entry["event"], entry["block"]) for entry in logs] == [
        ("error", "engine.store_differs", 7)
    ]
    assert (judged.confirmations.stored, judged.ring.confirmed) == (0, FIRST - 1)


@pytest.mark.parametrize("number", [1, 2, LAST + 1])
def test_a_stored_block_that_the_ring_does_not_have_is_not_compared(judged: Judged, number: int) -> None:
    with capture_logs() as logs:
        judged.confirmations.note_stored(StoredUpTo(number, 1))
    assert (logs, judged.confirmations.stored, judged.ring.confirmed) == ([], 0, FIRST - 1)
