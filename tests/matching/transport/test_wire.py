import random
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.core import layout
from matching.core.clients import FIRST_LOG_CLIENT
from matching.core.errors import BadMessage
from matching.transport import wire
from matching.transport.snapshot_chunks import SnapshotChunk, decode_snapshot_chunk, encode_snapshot_chunk

U64 = st.integers(0, (1 << 64) - 1)
I63 = st.integers(0, (1 << 63) - 1)


def commands(count: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    records = np.zeros(count, layout.COMMAND)
    records["account"] = np.arange(count)
    return records


@given(
    client=st.integers(1, FIRST_LOG_CLIENT - 1),
    number=st.integers(1, 1 << 62),
    count=st.integers(1, 40),
    texts=st.binary(),
)
def test_a_batch_is_decoded_as_it_was_encoded(client: int, number: int, count: int, texts: bytes) -> None:
    batch = wire.decode_batch(wire.encode_batch(client, number, commands(count), texts))
    assert (batch.client, batch.first_number, batch.last_number) == (client, number, number + count - 1)
    assert batch.commands.tobytes() == commands(count).tobytes()
    assert batch.texts == texts


@given(st.lists(st.tuples(I63, I63, I63, st.integers(0, 9), st.integers(0, 9)), max_size=5), U64, U64)
def test_an_answer_is_decoded_as_it_was_encoded(
    rows: list[tuple[int, int, int, int, int]], client: int, number: int
) -> None:
    segments = [wire.Segment(*row[:4], np.zeros(row[4], layout.EVENT)) for row in rows]
    count = sum(row[3] for row in rows)
    answer = wire.decode_answer(wire.encode_answer(client, number, count, segments))
    assert (answer.client, answer.first_number, answer.command_count) == (client, number, count)
    found = [(s.first_number, s.block_number, s.first_command_sequence, s.command_count) for s in answer.segments]
    assert found == [row[:4] for row in rows]
    assert [len(segment.events) for segment in answer.segments] == [row[4] for row in rows]


@given(st.text(), st.text(), U64, U64, U64, st.text())
def test_a_refusal_is_decoded_as_it_was_encoded(
    code: str, message: str, client: int, number: int, applied: int, leader: str
) -> None:
    refused = wire.Refused(code, message, client, number, applied, leader)
    assert wire.decode_refused(wire.encode_refused(refused)) == refused


def test_a_refusal_that_names_no_leader_is_read() -> None:
    old = b'{"code":"halted","message":"No.","client":7,"first_number":1,"applied_number":0}'
    assert wire.decode_refused(old) == wire.Refused("halted", "No.", 7, 1, 0)
    with pytest.raises(BadMessage, match="is not a string"):
        wire.decode_refused(old[:-1] + b',"leader":5}')


@given(st.text(), st.text(), st.text())
def test_addresses_are_decoded_as_they_were_encoded(commands: str, blocks: str, retransmission: str) -> None:
    addresses = wire.Addresses(commands, blocks, retransmission)
    assert wire.decode_addresses(wire.encode_addresses(addresses)) == addresses


@given(I63, st.integers(0, 1 << 40), st.binary(), st.integers(0, 1 << 40))
def test_a_part_of_a_snapshot_is_decoded_as_it_was_encoded(number: int, offset: int, data: bytes, more: int) -> None:
    chunk = SnapshotChunk(number, offset, offset + len(data) + more, data)
    assert decode_snapshot_chunk(encode_snapshot_chunk(chunk)) == chunk


def test_a_part_of_a_snapshot_that_reaches_past_its_end_is_refused() -> None:
    with pytest.raises(BadMessage, match="past the snapshot's end"):
        decode_snapshot_chunk([*wire.encode_numbers(1, 5, 7), b"xyz"])


def test_a_status_has_an_optional_epoch_and_followers() -> None:
    old = wire.decode_status(wire.encode_json(STATUS))
    assert (old.epoch, old.followers) == (0, ())
    follower = wire.Addresses("tcp://b:1", "tcp://b:2", "tcp://b:3")
    new = wire.decode_status(wire.encode_json({**STATUS, "epoch": 7, "followers": [asdict(follower)] * 99}))
    assert (new.epoch, new.followers) == (7, (follower,) * wire.MAX_FOLLOWERS)


@given(st.lists(I63, max_size=3))
def test_numbers_are_decoded_as_they_were_encoded(numbers: list[int]) -> None:
    assert wire.decode_numbers(wire.encode_numbers(*numbers), len(numbers)) == numbers


ADDRESSES = {"commands": "tcp://a:1", "blocks": "tcp://a:2", "retransmission": "tcp://a:3"}
STATUS = {"role": "leader", "block": 1, "state_hash": "ff", "ring": {"confirmed": 0}, "addresses": ADDRESSES}
GOOD_BATCH = wire.encode_batch(7, 1, commands(2), b"text")


def changed(offset: int, form: str, value: int) -> bytes:
    data = bytearray(GOOD_BATCH)
    struct.pack_into(form, data, offset, value)
    return bytes(data)


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b"", "at least 32 bytes"),
        (GOOD_BATCH[:31], "at least 32 bytes"),
        (GOOD_BATCH[:-1], "should have 164 bytes but has 163"),
        (GOOD_BATCH + b"x", "should have 164 bytes but has 165"),
        (changed(0, "<I", 1), "do not begin with the magic number"),
        (changed(4, "<I", 99), "layout 99"),
        (changed(8, "<Q", 0), "other than 0"),
        (changed(16, "<Q", 0), "from 1"),
        (changed(16, "<Q", (1 << 63) - 2), "from 1"),
        (changed(24, "<I", 0), "at least one command"),
        (changed(24, "<I", wire.MAX_BATCH_COMMANDS + 1), "at most 4096 commands"),
        (changed(28, "<I", 0xFFFFFFFF), "bytes but has"),
        (GOOD_BATCH + bytes(wire.MAX_BATCH_BYTES), "A batch has at most"),
    ],
)
def test_a_bad_batch_is_refused_in_one_sentence(payload: bytes, sentence: str) -> None:
    with pytest.raises(BadMessage, match=sentence) as caught:
        wire.decode_batch(payload)
    assert "\n" not in str(caught.value)


def test_the_addressee_of_a_bad_batch_is_found_where_it_can_be_read() -> None:
    assert wire.addressee(changed(24, "<I", 0)) == (7, 1)
    assert wire.addressee(changed(0, "<I", 1)) == (0, 0)
    assert wire.addressee(b"short") == (0, 0)


def test_an_inconsistent_answer_is_refused() -> None:
    good = wire.encode_answer(7, 1, 2, [wire.Segment(1, 5, 9, 2, np.zeros(1, layout.EVENT))])
    for bad in (good[:10], good[:30], good[:-1], good + b"x", wire.encode_answer(7, 1, 3, [])):
        with pytest.raises(BadMessage):
            wire.decode_answer(bad)


@pytest.mark.parametrize("payload", [b"[" * 100_000, b"{", b"\xff", b"[]", b"1" * 10_000, b"null"])
def test_a_payload_that_is_not_a_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(BadMessage):
        wire.decode_json(payload)


@pytest.mark.parametrize("frames", [[], [b"status"], [b"status", b""], [b"status", bytes(17)], [b"state", b"1"], [b""]])
def test_a_malformed_question_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(BadMessage):
        wire.decode_question(frames, [wire.STATUS])


DECODERS: list[tuple[Callable[[bytes], object], bytes]] = [
    (wire.decode_batch, GOOD_BATCH),
    (wire.decode_answer, wire.encode_answer(7, 1, 2, [wire.Segment(1, 5, 9, 2, np.zeros(1, layout.EVENT))])),
    (wire.decode_refused, wire.encode_refused(wire.Refused("code", "message", leader="tcp://a:1"))),
    (wire.decode_status, wire.encode_json({**STATUS, "epoch": 1, "followers": [ADDRESSES]})),
    (wire.decode_addresses, wire.encode_json(ADDRESSES)),
    (lambda data: decode_snapshot_chunk([data[:8], data[8:16], data[16:24], data[24:]]), bytes(24) + b"snapshot"),
    (lambda data: decode_snapshot_chunk([data] * (len(data) % 6)), bytes(8)),
    (lambda data: wire.decode_question([wire.PROMOTE, data], wire.PROMOTIONS), b"12345678"),
    (wire.decode_json, b'{"a":[1,2,{"b":null}]}'),
    (lambda data: wire.decode_numbers([data], 1), bytes(8)),
    (lambda data: wire.decode_numbers([data[:8], data[8:]], 2), bytes(16)),
    (lambda data: wire.decode_question([data, data], wire.QUESTIONS), b"status"),
    (lambda data: wire.decode_question([wire.STATUS, data], wire.QUESTIONS), b"12345678"),
    (wire.addressee, GOOD_BATCH),
]


@pytest.mark.parametrize("decoder", range(len(DECODERS)))
def test_ten_thousand_random_byte_strings_are_read_or_refused(decoder: int) -> None:
    """Half of them are random, half are a valid message with some bytes changed, removed or added."""
    decode, good = DECODERS[decoder]
    source = random.Random(decoder)
    for turn in range(10_000):
        if turn % 2:
            data = source.randbytes(source.randrange(200))
        else:
            damaged = bytearray(good)
            for _ in range(source.randrange(1, 4)):
                damaged[source.randrange(len(damaged))] = source.randrange(256)
            data = bytes(damaged[: source.randrange(len(damaged) + 1)]) + source.randbytes(source.randrange(3))
        with suppress(BadMessage):  # and nothing else
            decode(data)
