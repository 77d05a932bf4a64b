import struct

import pytest

from matching.core import layout
from matching.core.block_diff import difference
from matching.core.blocks import Block
from tests.matching.small_exchange import defined_engine, deposit
from tests.matching.stages import one_block

BLOCK = one_block(defined_engine(), [deposit(1, "first"), deposit(2, "second")])
COMMANDS_AT = layout.BLOCK_HEADER.itemsize + layout.REQUEST.itemsize
EVENTS_AT = COMMANDS_AT + 2 * layout.COMMAND.itemsize
NUL = r"\x00" * 5  # texts are padded
TEXTS_AT = EVENTS_AT + 2 * layout.EVENT.itemsize


def offset(of: str, field: str) -> int:
    fields = getattr(layout, of).fields
    return int(fields[field][1])


def changed(at: int, form: str, value: int) -> Block:
    """A copy with one field and the hash changed, as both always differ together."""
    data = bytearray(BLOCK.data)
    struct.pack_into(form, data, at, value)
    data[offset("BLOCK_HEADER", "hash")] ^= 1
    return Block.decode(bytes(data))


def test_equal_blocks_have_no_difference() -> None:
    assert difference(BLOCK, BLOCK) == ""


@pytest.mark.parametrize(
    ("at", "form", "value", "sentence"),
    [
        (
            offset("BLOCK_HEADER", "timestamp_ns"),
            "<q",
            7,
            f"byte {offset('BLOCK_HEADER', 'timestamp_ns')}, timestamp_ns of the header: 1 expected, 7 found",
        ),
        (
            offset("BLOCK_HEADER", "prev_hash"),
            "<Q",
            255,
            f"byte {offset('BLOCK_HEADER', 'prev_hash')}, prev_hash of the header: {BLOCK.prev_hash:016x} expected, "
            "00000000000000ff found",
        ),
        (
            layout.BLOCK_HEADER.itemsize + offset("REQUEST", "client"),
            "<Q",
            8,
            f"byte {layout.BLOCK_HEADER.itemsize}, client of request 0: 7 expected, 8 found",
        ),
        (
            COMMANDS_AT + layout.COMMAND.itemsize + offset("COMMAND", "account"),
            "<q",
            3,
            f"byte {COMMANDS_AT + layout.COMMAND.itemsize + offset('COMMAND', 'account')}, account of command 1: "
            "2 expected, 3 found",
        ),
        (
            EVENTS_AT + offset("EVENT", "sequence") + 4,
            "<i",
            1,
            f"byte {EVENTS_AT + offset('EVENT', 'sequence') + 4}, sequence of event 0: "
            f"4 expected, {4 + (1 << 32)} found",
        ),
        (
            TEXTS_AT,
            "<B",
            ord("w"),
            rf"byte {TEXTS_AT}, in the texts: 'firstsecond{NUL}' expected, 'wirstsecond{NUL}' found",
        ),
    ],
)
def test_the_first_difference_is_named_with_byte_record_and_field(
    at: int, form: str, value: int, sentence: str
) -> None:
    assert difference(BLOCK, changed(at, form, value)) == sentence


def test_an_additional_event_is_reported_with_its_position() -> None:
    more = one_block(defined_engine(), [deposit(1, "first"), deposit(2, "second"), deposit(3, "third")])
    first, second = difference(BLOCK, more).split("; ")
    assert first.endswith("command_count of the header: 2 expected, 3 found")
    assert second.startswith(f"byte {layout.BLOCK_HEADER.itemsize + 24}, digest of request 0: ")


def test_missing_events_are_counted() -> None:
    fewer = Block.encode(
        number=BLOCK.number,
        timestamp_ns=BLOCK.timestamp_ns,
        first_command_sequence=BLOCK.first_command_sequence,
        first_event_sequence=BLOCK.first_event_sequence,
        prev_hash=BLOCK.prev_hash,
        requests=BLOCK.requests,
        commands=BLOCK.commands,
        events=BLOCK.events[:1],
        texts=BLOCK.texts,
    )
    first, second = difference(BLOCK, fewer).split("; ")
    assert first.endswith("event_count of the header: 2 expected, 1 found")
    assert second == f"byte {EVENTS_AT + layout.EVENT.itemsize}: 2 events expected, 1 found"


def test_a_hash_is_named_only_when_nothing_else_differs() -> None:
    at = offset("BLOCK_HEADER", "hash")
    data = bytearray(BLOCK.data)
    data[at + 3] ^= 1
    assert difference(BLOCK, Block.decode(bytes(data))).startswith(
        f"byte {at + 3}, hash of the header: {BLOCK.hash:016x}"
    )
