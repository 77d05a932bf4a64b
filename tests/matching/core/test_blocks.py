"""Blocks are decoded as they were encoded, and damaged ones are detected."""

from random import Random

import numpy as np
import pytest
import xxhash

from matching.core import layout
from matching.core.blocks import Block
from matching.core.errors import BadBlock, HashMismatch

HEADER = layout.BLOCK_HEADER.itemsize
TEXTS = b"deposit-1client-7"


def small_block(**changes: int) -> Block:
    """Two requests, two commands with texts, one event."""
    commands = np.zeros(2, layout.COMMAND)
    commands["text_length"], commands["text_offset"] = (9, 8), (0, 9)
    events = np.zeros(1, layout.EVENT)
    events["sequence"], events["command_sequence"] = 7, 5
    fields = {
        "number": 3,
        "timestamp_ns": 1_700_000_000_000_000_000,
        "first_command_sequence": 5,
        "first_event_sequence": 7,
        "prev_hash": 0x0123456789ABCDEF,
        "shard": 2,
        "epoch": 4,
        **changes,
    }
    requests = np.array([(11, 1, 0, 0, 1, 0), (0, 0, 0, 0, 1, 0)], layout.REQUEST)
    return Block.encode(requests=requests, commands=commands, events=events, texts=TEXTS, **fields)


def accepted(data: bytes) -> bool:
    """Whether a receiver that expects this block accepts these bytes."""
    try:
        Block.decode(data).verify(3, 0x0123456789ABCDEF)
    except BadBlock:
        return False
    return True


def test_an_encoded_block_is_decoded_and_verified() -> None:
    block = small_block()
    read = Block.decode(memoryview(block.data))
    assert read == block
    read.verify(3, 0x0123456789ABCDEF)
    assert (read.last_command_sequence, read.last_event_sequence) == (6, 7)
    assert read.requests["client"].tolist() == [11, 0]
    assert read.events["sequence"].tolist() == [7]
    assert [read.text(command) for command in read.commands] == ["deposit-1", "client-7"]
    assert read.texts == TEXTS + bytes(7)
    assert not read.commands.flags.writeable
    assert len(block.data) == HEADER + 2 * 40 + 2 * 64 + 104 + 24


def test_a_small_block_has_its_golden_hash() -> None:
    block = small_block()
    assert f"{block.hash:016x}" == "06e7e21483f30415"
    assert block.hash == xxhash.xxh3_64_intdigest(block.data[:72] + bytes(8) + block.data[80:])


def test_an_empty_block_consists_of_its_header() -> None:
    nothing = np.zeros(0, layout.REQUEST), np.zeros(0, layout.COMMAND), np.zeros(0, layout.EVENT)
    requests, commands, events = nothing
    block = Block.encode(
        number=1,
        timestamp_ns=1,
        first_command_sequence=1,
        first_event_sequence=1,
        prev_hash=0,
        requests=requests,
        commands=commands,
        events=events,
        texts=b"",
    )
    assert len(block.data) == HEADER
    Block.decode(block.data).verify(1, 0)
    assert (block.last_command_sequence, block.last_event_sequence) == (0, 0)


def test_every_header_field_is_at_the_offset_of_the_layout() -> None:
    block = small_block()
    (header,) = np.frombuffer(block.data, layout.BLOCK_HEADER, 1)
    assert header["magic"] == layout.BLOCK_MAGIC
    assert header["layout_version"] == layout.LAYOUT_VERSION
    for name in ("shard", "epoch", "number", "timestamp_ns", "first_command_sequence", "first_event_sequence"):
        assert header[name] == getattr(block, name), name
    for name in ("request_count", "command_count", "event_count", "text_size", "prev_hash", "hash"):
        assert header[name] == getattr(block, name), name


def test_every_flipped_bit_is_detected() -> None:
    data = bytearray(small_block().data)
    assert accepted(bytes(data))
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        assert not accepted(bytes(data)), f"bit {bit % 8} of byte {bit // 8}"
        data[bit // 8] ^= 1 << bit % 8


def test_every_truncation_and_every_addition_is_detected() -> None:
    data = small_block().data
    for size in range(len(data)):
        with pytest.raises(BadBlock, match=r"A block has at least 80 bytes|truncated or damaged"):
            Block.decode(data[:size])
    for more in (b"\0", bytes(8), data):
        with pytest.raises(BadBlock, match="truncated or damaged"):
            Block.decode(data + more)


def test_errors_in_a_block_are_described() -> None:
    data = small_block().data
    with pytest.raises(BadBlock, match="they do not begin with the magic number"):
        Block.decode(b"PK\3\4" + data[4:])
    with pytest.raises(BadBlock, match=rf"has layout 99, this program reads layouts 1 to {layout.LAYOUT_VERSION}\."):
        Block.decode(data[:4] + b"\x63\0\0\0" + data[8:])
    block = small_block()
    with pytest.raises(HashMismatch, match="Expected block 4, received block 3"):
        block.verify(4, block.prev_hash)
    with pytest.raises(
        HashMismatch, match="Block 3 follows hash 0123456789abcdef, but the chain's last hash is 00000000000"
    ):
        block.verify(3, 1)
    with pytest.raises(HashMismatch, match=rf"Block 3 carries hash {block.hash:016x}, but its bytes hash to"):
        Block.decode(data[:-1] + b"\1").verify(3, block.prev_hash)


@pytest.mark.parametrize("name", ["shard", "epoch", "number", "timestamp_ns", "first_event_sequence", "prev_hash"])
def test_the_hash_covers_the_header(name: str) -> None:
    assert small_block(**{name: 1}).hash != small_block().hash


def test_random_bytes_are_refused_with_the_documented_error() -> None:
    random = Random(1)
    good = small_block().data
    for turn in range(10_000):
        data = bytearray(random.randbytes(random.choice((0, 1, 79, 80, 81, random.randrange(400)))))
        kept = random.choice(
            (0, 4, 8, 48, 52, 60, 80)
        )  # bytes of a valid block at the start, so that later checks are reached, too
        if turn % 2:
            data[:kept] = good[:kept]
        assert not accepted(bytes(data)), f"turn {turn}"


def test_sizes_larger_than_memory_are_refused_without_allocating() -> None:
    header = np.frombuffer(bytearray(small_block().data[:HEADER]), layout.BLOCK_HEADER)
    for name in ("request_count", "command_count", "event_count", "text_size"):
        changed = header.copy()
        changed[name] = 0xFFFFFFFF
        with pytest.raises(BadBlock, match="truncated or damaged"):
            Block.decode(changed.tobytes() + small_block().data[HEADER:])
