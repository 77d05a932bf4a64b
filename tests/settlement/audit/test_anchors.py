"""Stored blocks compared with signed checkpoints: what is found, and in which sentence."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.db import connection

from matching.core.blocks import Block
from matching.core.chain_digest import BEFORE_FIRST_BLOCK, ChainPoint
from matching.transport.key_register import KeyRegister, KeyRole, OwnKey, RegisteredKey, new_pair
from matching.transport.signed_checkpoints import sign
from matching.transport.signing import new_signing_secret
from settlement.audit import anchors
from settlement.audit.anchors import AnchorUnusable, Comparison
from settlement.receive.chain import stored
from settlement.stores.base import Store, StoredCheckpoint
from settlement.stores.sql.store import SqlStore
from tests.reference.streams import random_commands
from tests.s3 import BUCKET, s3_server
from tests.sentences import refusal
from tests.settlement.chains import chain_of, in_epoch

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BLOCKS = chain_of(random_commands(3, 60, instruments=1, accounts=3, wild=False), 8).blocks
LAST = BLOCKS[-1].number
EXCHANGE = "0123456789abcdef"
TIME_NS = 1_767_225_590_000_000_000
AT = "at 2025-12-31 23:59:50 UTC"


def key(role: KeyRole) -> OwnKey:
    public, secret = new_pair()
    return OwnKey(public, secret, role, "local", new_signing_secret())


KEYS = {role: key(role) for role in (KeyRole.SETTLEMENT, KeyRole.ENGINE)}
REGISTER = KeyRegister(
    1,
    EXCHANGE,
    {own.public: RegisteredKey(own.public, own.role, own.name, signing=own.signing) for own in KEYS.values()},
)


def point_at(number: int, blocks: Sequence[Block] = BLOCKS) -> ChainPoint:
    point = BEFORE_FIRST_BLOCK
    for block in blocks[:number]:
        point = point.after(block)
    return point


def signed(number: int, role: KeyRole = KeyRole.SETTLEMENT, blocks: Sequence[Block] = BLOCKS) -> bytes:
    return sign(KEYS[role], EXCHANGE, point_at(number, blocks), TIME_NS)


@pytest.fixture
def store(db: None) -> Store:
    made = SqlStore()
    made.append_blocks([stored(block) for block in BLOCKS])
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settlement-local.jsonl"


def write(file: Path, *documents: bytes) -> str:
    file.write_bytes(b"".join(document + b"\n" for document in documents))
    return str(file)


def audited(store: Store, *sources: str, to_block: int | None = None) -> Comparison:
    return anchors.audit(store, REGISTER, sources, to_block)


def unusable(store: Store, source: str) -> str:
    return refusal(AnchorUnusable, lambda: audited(store, source))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator["S3Client"]:
    with s3_server(monkeypatch) as client:
        yield client


SOURCE = f"s3://{BUCKET}/venue"


def test_checkpoints_in_a_bucket_are_compared(store: Store, s3: "S3Client") -> None:
    for number in (1, LAST):
        s3.put_object(Bucket=BUCKET, Key=f"venue/{number}.json", Body=signed(number))
    s3.put_object(Bucket=BUCKET, Key="elsewhere/1.json", Body=b"something else")
    assert audited(store, SOURCE) == Comparison(2, LAST, None)
    change("update engine_blocks set data = %s where number = 2", BLOCKS[2].data)
    assert str(audited(store, SOURCE).difference).startswith(f"{SOURCE}/{LAST}.json: settlement local signed block")


def test_an_object_that_nobody_registered_has_signed_makes_the_anchor_unusable(store: Store, s3: "S3Client") -> None:
    s3.put_object(Bucket=BUCKET, Key="venue/1.json", Body=b"{}")
    assert unusable(store, SOURCE).startswith(f"{SOURCE}/1.json: ")


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (SOURCE, f"{SOURCE} has no checkpoint: name another place."),
        ("s3://another/venue", "s3://another/venue cannot be read: The specified bucket does not exist."),
        ("s3://", "s3:// has no valid name of a bucket: write s3://BUCKET/PREFIX."),
    ],
)
def test_a_bucket_without_checkpoints_is_unusable(store: Store, source: str, sentence: str) -> None:
    assert unusable(store, source) == sentence


def change(statement: str, *values: str | bytes) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_checkpoints_of_the_stored_chain_are_the_same(store: Store, file: Path) -> None:
    assert LAST > 4
    source = write(file, signed(2), signed(LAST, KeyRole.ENGINE), signed(1))
    store.put_signed_checkpoint(StoredCheckpoint(4, "settlement-local", signed(4)))
    assert audited(store, source) == Comparison(4, LAST, None)
    assert audited(store, source, source) == Comparison(7, LAST, None)
    assert audited(store) == Comparison(1, 4, None)
    assert audited(store, source, to_block=2) == Comparison(2, 2, None)


def test_without_checkpoints_nothing_is_compared(store: Store) -> None:
    assert audited(store) == Comparison(0, 0, None)


@pytest.mark.parametrize("position", [0, 40, 200])
def test_a_changed_byte_is_found_at_the_next_checkpoint(store: Store, file: Path, position: int) -> None:
    data = bytearray(BLOCKS[2].data)
    data[position] ^= 1
    change("UPDATE engine_blocks SET data = %s WHERE number = 3", bytes(data))
    found = audited(store, write(file, signed(2), signed(4), signed(LAST)))
    assert found[:2] == (1, 2)
    assert found.difference is not None
    assert found.difference.startswith(f"{file}, line 2: settlement local signed block 4 {AT} with digest ")
    assert found.difference.endswith(" a block from 3 to 4 was changed after it was signed.")


def test_a_chain_that_was_hashed_again_is_found(store: Store, file: Path) -> None:
    change("DELETE FROM engine_blocks")
    change("DELETE FROM settlement_checkpoints")
    store.append_blocks([stored(block) for block in in_epoch(BLOCKS, 2, 0)])
    found = audited(store, write(file, signed(LAST)))
    assert found.difference is not None
    assert f"with hash {BLOCKS[-1].hash:016x}, and the stored block has hash" in found.difference


def test_removed_blocks_at_the_end_are_found(store: Store, file: Path) -> None:
    change("UPDATE settlement_checkpoints SET block_number = 3, hash = %s", f"{BLOCKS[2].hash:016x}")
    found = audited(store, write(file, signed(3), signed(LAST)))
    assert found == Comparison(
        1,
        3,
        f"{file}, line 2: settlement local signed block {LAST} {AT}, but the store ends with block 3: later blocks "
        "were removed.",
    )


def test_a_removed_block_in_the_middle_is_found(store: Store, file: Path) -> None:
    change("DELETE FROM engine_blocks WHERE number = 3")
    found = audited(store, write(file, signed(LAST)))
    assert found.difference is not None
    assert f"signed block {LAST} {AT}, but the chain is broken before it. Block 4 follows" in found.difference
    change("DELETE FROM engine_blocks WHERE number >= 3")
    found = audited(store, write(file, signed(LAST)))
    assert found.difference is not None
    assert found.difference.endswith("but the chain is broken before it. Block 3 is missing.")


def test_two_signers_that_contradict_each_other_are_found(store: Store, file: Path) -> None:
    other = in_epoch(BLOCKS, 2, 0)
    found = audited(store, write(file, signed(3), signed(3, KeyRole.ENGINE, other)))
    assert found.difference is not None
    assert "line 2: engine local signed block 3" in found.difference


def test_a_checkpoint_in_the_store_that_nobody_registered_has_signed_is_found(store: Store) -> None:
    document = sign(key(KeyRole.SETTLEMENT), EXCHANGE, point_at(3), TIME_NS)
    store.put_signed_checkpoint(StoredCheckpoint(3, "settlement-local", document))
    store.put_signed_checkpoint(StoredCheckpoint(4, "settlement-local", signed(4)))
    assert audited(store) == Comparison(
        1,
        4,
        "The store, block 3: The checkpoint is not signed by a registered key of settlement local. "
        "Somebody has written it to the database.",
    )


def test_an_anchor_that_proves_nothing_is_one_sentence(store: Store, file: Path) -> None:
    assert unusable(store, write(file)) == f"{file} has no checkpoint: name another place."
    document = signed(2)
    file.write_bytes(document + b"\n" + document[:-7])
    assert unusable(store, str(file)) == f"{file}, line 2: The checkpoint is not complete."
    foreign = sign(KEYS[KeyRole.ENGINE], "f" * 16, point_at(2), TIME_NS)
    text = f"{file}, line 2: The checkpoint is of exchange ffffffffffffffff, not of {EXCHANGE}."
    assert unusable(store, write(file, document, foreign)) == text
    unsigned = sign(key(KeyRole.ENGINE), EXCHANGE, point_at(2), TIME_NS)
    text = f"{file}, line 1: The checkpoint is not signed by a registered key of engine local."
    assert unusable(store, write(file, unsigned)) == text
    file.write_bytes(b"\x00\xff\n")
    assert "line 1: The checkpoint is not complete" in unusable(store, str(file))
    assert unusable(store, f"{file}.old") == f"{file}.old cannot be read: No such file or directory."
    assert "cannot be read: Is a directory." in unusable(store, str(file.parent))


@pytest.mark.parametrize("end", [b"", b"\n\n", b"\r\n"])
def test_a_file_whose_lines_end_in_another_way_is_read(store: Store, file: Path, end: bytes) -> None:
    file.write_bytes(signed(2) + end)
    assert audited(store, str(file)).compared == 1
