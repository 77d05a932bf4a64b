"""Golden bytes of every record: a change of a record needs a new LAYOUT_VERSION and new bytes here."""

import hashlib

import numpy as np
import pytest

from matching.core import codes, layout

RECORDS = {name: value for name, value in vars(layout).items() if isinstance(value, np.dtype)}

# Fields of each record in order, and its bytes if the first byte of field number k is k and the last is 7e.
GOLDEN = {
    "BLOCK_HEADER": (
        "magic layout_version shard epoch number timestamp_ns first_command_sequence first_event_sequence "
        "request_count command_count event_count text_size prev_hash hash",
        "0100007e0200007e0300007e0400007e050000000000007e060000000000007e070000000000007e080000000000007e"
        "0900007e0a00007e0b00007e0c00007e0d0000000000007e0e0000000000007e",
    ),
    "REQUEST": (
        "client first_number owner digest command_count batch_offset",
        "010000000000007e020000000000007e030000000000007e040000000000007e0500007e0600007e",
    ),
    "CLIENT": (
        "client owner last_number last_block batch_count accepted padding",
        "010000000000007e020000000000007e030000000000007e040000000000007e0500007e06070707",
    ),
    "CLIENT_BATCH": ("first_number digest", "010000000000007e020000000000007e"),
    "CLIENT_FLOOR": ("owner client", "010000000000007e020000000000007e"),
    "LOG_POSITION": ("client next_offset", "010000000000007e020000000000007e"),
    "COMMAND": (
        "kind side order_type time_in_force self_trade_prevention flags text_length instrument text_offset "
        "account price quantity amount order_id text_hash",
        "010203040506077e0800007e0900007e0a0000000000007e0b0000000000007e0c0000000000007e0d0000000000007e"
        "0e0000000000007e0f0000000000007e",
    ),
    "EVENT": (
        "sequence command_sequence kind side reason flags instrument order_id account other_order_id "
        "other_account price quantity amount buyer_fee seller_fee trade_number",
        "010000000000007e020000000000007e030405060700007e080000000000007e090000000000007e0a0000000000007e"
        "0b0000000000007e0c0000000000007e0d0000000000007e0e0000000000007e0f0000000000007e100000000000007e"
        "110000000000007e",
    ),
    "BATCH": (
        "magic layout_version client first_number command_count text_size",
        "0100007e0200007e030000000000007e040000000000007e0500007e0600007e",
    ),
    "ANSWER": (
        "client first_number command_count segment_count",
        "010000000000007e020000000000007e0300007e0400007e",
    ),
    "SEGMENT": (
        "first_number block_number first_command_sequence command_count event_count",
        "010000000000007e020000000000007e030000000000007e0400007e0500007e",
    ),
    "ORDER": (
        "order_id remaining filled text_hash level next previous trader account_next account_previous side "
        "self_trade_prevention flags padding extra",
        "010000000000007e020000000000007e030000000000007e040000000000007e0500007e0600007e0700007e0800007e"
        "0900007e0a00007e0b0c0d0e0f00007e",
    ),
    "EXTRA": (
        "hidden visible_quantity trigger_price price held partner order_type time_in_force state padding",
        "010000000000007e020000000000007e030000000000007e040000000000007e050000000000007e0600007e0708090a",
    ),
    "LEVEL": (
        "quantity head tail",
        "010000000000007e0200007e0300007e",
    ),
    "LEAF": (
        "bits base parent padding",
        "010000000000007e020000000000007e0300007e0400007e",
    ),
    "NODE": (
        "bits parent padding",
        "010000000000007e0200007e0300007e",
    ),
    "TRIGGER_TREE": (
        "root height",
        "0100007e0200007e",
    ),
    "ACCOUNT": (
        "account first_order last_order maker_fee taker_fee first_trader status padding",
        "010000000000007e0200007e0300007e0400007e0500007e0600007e07080808",
    ),
    "TRADER": (
        "account owner instrument base_balance quote_balance open_orders status has_terms padding",
        "010000000000007e0200007e0300007e0400007e0500007e0600007e07080909",
    ),
    "TERMS": (
        "maker_fee taker_fee next is_own padding",
        "0100007e0200007e0300007e04050505",
    ),
    "BALANCE": (
        "available locked account asset padding",
        "010000000000007e020000000000007e030000000000007e0400007e0500007e",
    ),
    "REFERENCE": (
        "text_hash account kind",
        "010000000000007e020000000000007e030000000000007e",
    ),
    "INSTRUMENT": (
        "best_bid best_ask best_bid_level best_ask_level root height quote_unit lot_units notional_limit "
        "quantity_limit min_quantity max_quantity min_notional maker_fee taker_fee price_band max_open_orders "
        "base quote house_base house_quote status padding rise_at fall_at last_price trade_count reference_price "
        "traded_in spare",
        "010000000000007e020000000000007e0300007e0400007e0500007e0600007e070000000000007e080000000000007e"
        "090000000000007e0a0000000000007e0b0000000000007e0c0000000000007e0d0000000000007e0e00007e0f00007e"
        "1000007e1100007e1200007e1300007e1400007e1500007e1600007e1700007e180000000000007e190000000000007e"
        "1a0000000000007e1b0000000000007e1c0000000000007e1d0000000000007e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e",
    ),
}

# One digest for each version so far: data of a version can only be read with its layout.
DIGESTS = {1: "076b139ce09600aa", 2: "e17c0750044dfee9", 3: "7d380572ee5f49bb"}

NUMBERS = {
    "CommandKind": "order=1 cancel=2 cancel_all=3 replace=4 deposit=5 withdraw=6 asset=7 instrument=8 "
    "instrument_status=9 instrument_update=10 account_status=11 oco=12 oco_stop=13 account_fees=14",
    "CommandFlag": "post_only=1 requires_previous=2 previous_refused=4 total_quantity=8 new_name=16",
    "InstrumentValue": "maker_fee=1 taker_fee=2 min_quantity=4 max_quantity=8 min_notional=16 price_band=32 "
    "max_open_orders=64",
    "EventKind": "order_accepted=1 trade=2 order_cancelled=3 order_replaced=4 orders_cancelled=5 deposited=6 "
    "withdrawn=7 asset_added=8 instrument_added=9 instrument_status_changed=10 rejected=11 "
    "order_triggered=12 instrument_updated=13 account_status_changed=14 account_fees_changed=15",
    "Side": "buy=0 sell=1",
    "OrderType": "limit=0 market=1 stop_loss=2 stop_loss_limit=3 take_profit=4 take_profit_limit=5",
    "TimeInForce": "gtc=0 ioc=1 fok=2",
    "SelfTradePrevention": "expire_taker=0 none=1 expire_maker=2 expire_both=3",
    "InstrumentStatus": "trading=0 cancel_only=1 halted=2",
    "AccountStatus": "active=0 no_trading=1 frozen=2",
    "EventFlag": "kept_priority=1 by_quote=2",
    "Reason": "none=0 malformed=1 unknown_asset=2 unknown_symbol=3 invalid_side=4 invalid_order_type=5 "
    "invalid_time_in_force=6 invalid_price=7 invalid_quantity=8 invalid_amount=9 instrument_halted=10 "
    "notional_overflow=11 below_min_notional=12 duplicate_client_order_id=13 insufficient_balance=14 "
    "post_only_would_match=15 fok_not_fillable=16 no_liquidity=17 quote_quantity_too_small=18 unknown_order=19 "
    "supply_overflow=20 duplicate_reference=21 already_exists=22 previous_refused=23 "
    "account_restricted=24 price_out_of_band=25 too_many_orders=26 would_trigger_immediately=27 not_replaceable=28 "
    "user=32 ioc=33 self_trade=34 price_band=35 oco=36 quote_quantity_used=37 work_limit=38",
}


def filled(record: np.dtype[np.void], fields: list[str]) -> bytes:
    row = np.zeros(1, record)
    for number, field in enumerate(fields, 1):
        size = record[field].base.itemsize
        value = bytes([number]) if size == 1 else bytes([number, *bytes(size - 2), 0x7E])
        row[field] = int.from_bytes(value, "little")
    return row.tobytes()


def digest() -> str:
    said = "\n".join(f"{name} {record.descr}" for name, record in sorted(RECORDS.items()))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def test_every_record_has_golden_bytes() -> None:
    assert GOLDEN.keys() == RECORDS.keys()


@pytest.mark.parametrize("name", GOLDEN)
def test_a_record_has_its_bytes(name: str) -> None:
    fields, golden = GOLDEN[name]
    assert filled(RECORDS[name], fields.split()).hex() == golden
    assert list(RECORDS[name].names or ()) == fields.split()


@pytest.mark.parametrize("name", GOLDEN)
def test_a_record_is_little_endian_without_unnamed_bytes_and_aligned_to_8(name: str) -> None:
    record = RECORDS[name]
    assert record.itemsize % 8 == 0
    assert record.fields is not None
    offset = 0
    for field in record.fields:
        part, at = record[field], record.fields[field][1]
        assert at == offset, f"there are unnamed bytes before {field}"
        assert at % part.base.itemsize == 0, f"{field} is not aligned"
        assert part.base.str[0] in "<|", f"{field} is not little-endian"
        offset += part.itemsize
    assert offset == record.itemsize


def test_a_changed_record_has_a_new_layout_version() -> None:
    assert max(DIGESTS) == layout.LAYOUT_VERSION, "write the digest of the new version down, beside the old ones"
    assert len(set(DIGESTS.values())) == len(DIGESTS)
    assert digest() == DIGESTS[layout.LAYOUT_VERSION], (
        "a record has changed: raise LAYOUT_VERSION, write a decision record, and write the new digest down here"
    )


def test_the_marks_of_blocks_and_batches_are_readable_text() -> None:
    assert layout.BLOCK_MAGIC.to_bytes(4, "little") == b"XBLK"
    assert layout.BATCH_MAGIC.to_bytes(4, "little") == b"BTCH"


@pytest.mark.parametrize("name", NUMBERS)
def test_a_code_keeps_its_number(name: str) -> None:
    members = getattr(codes, name)
    assert " ".join(f"{codes.name_of(member)}={member.value}" for member in members) == NUMBERS[name]


def test_every_code_is_listed_here() -> None:
    defined = {
        name for name, value in vars(codes).items() if isinstance(value, type) and value.__module__ == codes.__name__
    }
    assert NUMBERS.keys() == defined
