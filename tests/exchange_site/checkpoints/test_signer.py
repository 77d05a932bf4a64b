"""The signer follows the stored chain, and signs only what is stored, with the digest of every block before."""

from collections.abc import Iterator, Sequence

import pytest
from structlog.testing import capture_logs

from exchange_site.checkpoints.recent_blocks import RecentBlocks
from exchange_site.checkpoints.signer import OwnBlocks, Schedule, Signer
from matching.core.blocks import Block
from matching.core.chain_digest import BEFORE_FIRST_BLOCK, ChainPoint
from matching.transport.key_register import KeyRegister, KeyRole, OwnKey, RegisteredKey, new_pair
from matching.transport.signed_checkpoints import read_signed, sign
from matching.transport.signing import new_signing_secret
from settlement.receive.chain import stored
from settlement.stores.base import StoredBlock, StoredCheckpoint, StoreUnavailable
from settlement.stores.sql.store import SqlStore
from tests.reference.streams import random_commands
from tests.settlement.chains import chain_of, in_epoch
from tests.settlement.conftest import empty
from tests.settlement.fakes import FakeClock

pytestmark = pytest.mark.django_db

BLOCKS = chain_of(random_commands(3, 300, instruments=1, accounts=3, wild=False), 2).blocks
EXCHANGE = "0123456789abcdef"
PUBLIC, SECRET = new_pair()
OWN = OwnKey(PUBLIC, SECRET, KeyRole.SETTLEMENT, "local", new_signing_secret())
REGISTER = KeyRegister(1, EXCHANGE, {PUBLIC: RegisteredKey(PUBLIC, OWN.role, OWN.name, signing=OWN.signing)})
SCHEDULE = Schedule(every_blocks=10, every_s=300)


class Rig:
    """A store, and a signer beside it. `own_last`: the newest block of the signer's process."""

    def __init__(self, clock: FakeClock, own: RecentBlocks | None = None, schedule: Schedule = SCHEDULE) -> None:
        self.store = SqlStore()
        self.clock = clock
        self._signed: list[ChainPoint] = []
        self.own_last: int | None = None
        self.signer = Signer(
            store=self.store,
            own=OWN,
            exchange=EXCHANGE,
            blocks=OwnBlocks((own or RecentBlocks()).get, lambda: self.own_last),
            hand_over=self._take,
            schedule=schedule,
            monotonic=clock.monotonic,
            time_ns=clock.time_ns,
        )

    def append(self, blocks: Sequence[Block]) -> None:
        self.store.append_blocks([stored(block) for block in blocks])

    def signed(self) -> list[ChainPoint]:
        return self._signed

    def _take(self, checkpoint: StoredCheckpoint) -> None:
        self._signed.append(read_signed(checkpoint.document, REGISTER).point)
        SqlStore().put_signed_checkpoint(checkpoint)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rig(clock: FakeClock) -> Rig:
    return Rig(clock)


def point_at(number: int, blocks: Sequence[Block] = BLOCKS) -> ChainPoint:
    point = BEFORE_FIRST_BLOCK
    for block in blocks[:number]:
        point = point.after(block)
    return point


def test_a_checkpoint_is_signed_after_so_many_blocks(rig: Rig) -> None:
    rig.signer.step()
    for end in (3, 9, 12, 15, 25):
        rig.append(BLOCKS[:end])
        rig.signer.step()
        rig.signer.step()
    assert rig.signed() == [point_at(12), point_at(25)]


def test_a_checkpoint_is_signed_after_so_many_seconds_if_there_is_a_new_block(rig: Rig) -> None:
    rig.append(BLOCKS[:3])
    rig.signer.step()
    assert rig.signed() == []
    for _ in range(3):
        rig.clock.sleep(301)
        rig.signer.step()
    assert rig.signed() == [point_at(3)]


@pytest.mark.django_db(transaction=True)  # the signer's thread has a connection of its own
def test_the_end_of_the_process_signs_the_last_stored_block(rig: Rig) -> None:
    rig.append(BLOCKS[:3])
    with rig.signer.running():
        pass
    assert rig.signed() == [point_at(3)]


def test_a_store_of_an_earlier_version_is_signed_from_its_first_block_on(rig: Rig) -> None:
    rig.append(BLOCKS[:100])
    rig.signer.step()
    assert rig.signed() == [point_at(100)]


def test_a_restart_continues_with_the_newest_own_checkpoint_and_reads_no_earlier_block(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.append(BLOCKS[:100])
    rig.signer.step()
    again = Rig(rig.clock)
    rig.append(BLOCKS[100:150])
    read: list[int] = []
    blocks = again.store.blocks

    def noted(first: int, last: int | None = None) -> Iterator[StoredBlock]:
        read.append(first)
        return blocks(first, last)

    monkeypatch.setattr(again.store, "blocks", noted)
    again.signer.step()
    assert again.signed() == [point_at(150)]
    assert min(read) == 101


def test_blocks_of_the_process_are_not_read_from_the_store(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    recent = RecentBlocks()
    rig = Rig(clock, recent)
    rig.append(BLOCKS[:20])
    recent.add([stored(block) for block in BLOCKS[:20]])
    monkeypatch.setattr(rig.store, "blocks", lambda first, last: pytest.fail("read from the store"))
    rig.signer.step()
    assert rig.signed() == [point_at(20)]


def test_only_blocks_that_are_stored_are_signed(clock: FakeClock) -> None:
    recent = RecentBlocks()
    recent.add([stored(block) for block in BLOCKS[:40]])
    rig = Rig(clock, recent)
    rig.append(BLOCKS[:15])
    rig.own_last = 40
    rig.signer.step()
    assert rig.signed() == [point_at(15)]


def test_a_process_that_is_behind_the_store_signs_up_to_its_own_last_block(rig: Rig) -> None:
    rig.append(BLOCKS[:40])
    rig.own_last = 15
    rig.signer.step()
    assert rig.signed() == [point_at(15)]


def test_a_store_that_does_not_answer_is_read_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise StoreUnavailable("away")

    rig.append(BLOCKS[:20])
    with monkeypatch.context() as patched:
        patched.setattr(rig.store, "appended", fail)
        rig.signer.step()
    assert rig.signed() == []
    rig.signer.step()
    assert rig.signed() == [point_at(20)]


def test_a_process_whose_block_differs_from_the_stored_one_signs_nothing(clock: FakeClock) -> None:
    recent = RecentBlocks()
    rig = Rig(clock, recent)
    rig.append(BLOCKS[:20])
    others = in_epoch(BLOCKS[15:20], 2, BLOCKS[14].hash)
    recent.add([stored(block) for block in others])
    with capture_logs() as logs:
        for _ in range(3):
            rig.signer.step()
    assert [line["event"] for line in logs] == ["checkpoints.chain_differs"]
    assert rig.signed() == []


def test_a_block_that_the_store_lacks_ends_the_step(rig: Rig) -> None:
    rig.append(BLOCKS[:20])
    rig.store._session.run("DELETE FROM engine_blocks WHERE number = 7")
    with capture_logs() as logs:
        rig.signer.step()
    assert [line["error"] for line in logs] == [
        f"Block 8 follows hash {BLOCKS[7].prev_hash:016x}, but block 6 of the chain has hash {BLOCKS[5].hash:016x}."
    ]
    assert rig.signed() == []


def test_an_older_copy_of_the_store_is_followed_from_the_checkpoints_that_it_has(rig: Rig) -> None:
    for end in (20, 40):
        rig.append(BLOCKS[:end])
        rig.signer.step()
    empty(rig.store)
    rig.append(BLOCKS[:30])
    rig.signer.step()
    rig.append(BLOCKS[:45])
    rig.signer.step()
    assert rig.signed() == [point_at(20), point_at(40), point_at(30), point_at(45)]


def test_a_store_that_contradicts_an_own_checkpoint_is_reported_once(rig: Rig) -> None:
    rig.append(BLOCKS[:20])
    rig.signer.step()
    rewritten = in_epoch(BLOCKS[:30], 2, 0)
    rig.store._session.run("DELETE FROM engine_blocks")
    rig.store._session.run("DELETE FROM settlement_checkpoints")
    rig.append(rewritten)
    again = Rig(rig.clock)
    with capture_logs() as logs:
        again.signer.step()
        again.signer.step()
    assert [(line["event"], line["block"]) for line in logs] == [("checkpoints.contradicted", 20)]
    assert again.signed() == [point_at(30, rewritten)]


def test_a_checkpoint_that_another_key_has_signed_is_no_start(rig: Rig) -> None:
    public, secret = new_pair()
    other = OwnKey(public, secret, OWN.role, OWN.name, new_signing_secret())
    false = point_at(20)._replace(digest=bytes(32))
    rig.append(BLOCKS[:20])
    rig.store.put_signed_checkpoint(StoredCheckpoint(20, "settlement-local", sign(other, EXCHANGE, false, 1)))
    rig.append(BLOCKS[:30])
    rig.signer.step()
    assert rig.signed() == [point_at(30)]


def test_a_process_that_ends_while_it_reads_a_long_chain_signs_what_it_has_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange_site.checkpoints.signer._LAST_BLOCKS", 10)
    rig.append(BLOCKS[:140])
    rig.signer._stopping.set()
    rig.signer.step()
    assert rig.signed() == [point_at(64)]
    again = Rig(rig.clock)
    again.signer.step()
    assert again.signed() == [point_at(140)]
