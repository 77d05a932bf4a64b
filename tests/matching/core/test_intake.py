"""Records that no correct edge produces are refused with one sentence or harmless, and never damage the engine."""

import re
from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest
import xxhash

from matching.core import layout
from matching.core.blocks import Records
from matching.core.codes import NONE_ID, CommandFlag, CommandKind, EventKind, OrderType, TimeInForce
from matching.core.errors import BadMessage
from matching.core.intake import check
from matching.core.registry import canonical
from matching.core.texts import hashes, signed, text_hash
from matching.workloads.btc_usd import BTC, BTC_USD
from tests.matching.invariants import check_invariants
from tests.matching.small_exchange import defined_engine

SENTENCE = re.compile(r"[A-Z][^\n]*\.|The batch has an invalid definition: [^\n]+")
LIMIT = {"kind": CommandKind.ORDER, "price": 100, "quantity": 1}
MARKET = {
    "kind": CommandKind.ORDER,
    "order_type": OrderType.MARKET,
    "time_in_force": TimeInForce.IOC,
    "quantity": 1,
}
DEPOSIT = {"kind": CommandKind.DEPOSIT, "amount": 5}
ASSET = {"kind": CommandKind.ASSET}
CANCEL = {"kind": CommandKind.CANCEL}
REPLACE = {"kind": CommandKind.REPLACE, "order_id": 1, "price": 100, "quantity": 1}
STOP = {**MARKET, "order_type": OrderType.STOP_LOSS, "amount": 100}
LEGS = (
    {**LIMIT, "kind": CommandKind.OCO, "flags": 1},
    {**STOP, "kind": CommandKind.OCO_STOP},
)
STATUS = {"kind": CommandKind.ACCOUNT_STATUS, "side": 2, "instrument": NONE_ID}
FEES = {"kind": CommandKind.ACCOUNT_FEES, "price": 0, "quantity": 999_999}
UPDATE = {"kind": CommandKind.INSTRUMENT_UPDATE, "flags": 1, "account": 999_999}


def batch(*rows: tuple[dict[str, Any], bytes]) -> tuple[Records, bytes]:
    """COMMAND records and strings as an edge would make them, with the given fields replaced."""
    records, texts = np.zeros(len(rows), layout.COMMAND), b"".join(text for _, text in rows)
    offset = 0
    for record, (fields, text) in zip(records, rows, strict=True):
        given = {"text_length": len(text), "text_offset": offset, "text_hash": text_hash(text), **fields}
        for name, value in given.items():
            record[name] = value
        offset += len(text)
    return records, texts


@pytest.fixture(scope="module")
def registry() -> Any:
    return defined_engine().registry


def test_records_of_a_correct_edge_pass(registry: Any) -> None:
    for rows in (
        [],
        [(LIMIT, b"a"), (MARKET, b""), (DEPOSIT, b"t-1")],
        [({"kind": CommandKind.CANCEL_ALL, "instrument": NONE_ID}, b"")],
        [(STOP, b"a"), ({**STOP, "order_type": OrderType.TAKE_PROFIT_LIMIT, "price": 5}, b"b")],
        [(LEGS[0], b""), (LEGS[1], b"stop"), ({**LEGS[0], "text_hash": text_hash(b"a")}, b"a\x1flist"), (LEGS[1], b"")],
        [(LEGS[0], b""), ({**LEGS[1], "order_type": OrderType.STOP_LOSS_LIMIT, "price": 5, "time_in_force": 2}, b"")],
        [({**LIMIT, "amount": 1, "flags": 7}, b""), ({**MARKET, "side": 1, "quantity": 0, "amount": 1}, b"")],
        [
            (STATUS, b""),
            (FEES, b""),
            ({**FEES, "price": -1, "quantity": -1, "instrument": NONE_ID}, b""),
            (UPDATE, b""),
        ],
        [({"kind": CommandKind.INSTRUMENT_UPDATE, "flags": 12, "quantity": 1, "amount": 5}, b"")],
        [({**REPLACE, "flags": 24, "amount": signed(text_hash(b"new")), "text_hash": 0}, b"\x1fnew")],
        [({**CANCEL, "text_hash": text_hash(b"x" * 36)}, b"x" * 36 + b"\x1f" + b"y" * 36)],
        [(LIMIT, b"x" * 36), (DEPOSIT, b"x" * 64), (ASSET, canonical({**BTC, "symbol": "ETH"}).encode())],
    ):
        check(*batch(*rows), registry)


@pytest.mark.parametrize(
    ("fields", "text", "said"),
    [
        ({**LIMIT, "kind": 0}, b"", "Command 2 of the batch has a kind that does not exist"),
        ({**LIMIT, "kind": 15}, b"", "a kind that does not exist"),
        ({**LIMIT, "instrument": 1}, b"", "an instrument or asset that does not exist"),
        ({**LIMIT, "instrument": NONE_ID}, b"", "an instrument or asset that does not exist"),
        ({**DEPOSIT, "instrument": 2}, b"t", "an instrument or asset that does not exist"),
        ({"kind": CommandKind.CANCEL_ALL, "instrument": NONE_ID - 1}, b"", "an instrument or asset that does not"),
        ({**LIMIT, "account": -1}, b"", "a negative account"),
        ({**LIMIT, "side": 2}, b"", "a side that does not exist"),
        ({**LIMIT, "order_type": 6}, b"", "an order type that does not exist"),
        ({**LIMIT, "time_in_force": 3}, b"", "a time in force that does not exist"),
        ({**LIMIT, "self_trade_prevention": 4}, b"", "a self-trade mode that does not exist"),
        ({**LIMIT, "flags": 8}, b"", "a flag that its kind does not have"),
        ({"kind": CommandKind.CANCEL, "order_id": 1, "flags": 1}, b"", "a flag that its kind does not have"),
        ({**LIMIT, "flags": 1, "time_in_force": TimeInForce.IOC}, b"", "post_only, and another order type"),
        ({**STOP, "flags": 1}, b"", "post_only, and another order type"),
        ({**MARKET, "price": 1}, b"", "order type market with a price"),
        ({**MARKET, "time_in_force": TimeInForce.GTC}, b"", "order type market with a price"),
        ({**MARKET, "amount": 1}, b"", "a quote_quantity beside a quantity"),
        (
            {**LIMIT, "amount": 1, "time_in_force": TimeInForce.IOC},
            b"",
            "a visible_quantity, and another time in force",
        ),
        ({**STOP, "price": 1}, b"", "a stop_loss or take_profit with a price"),
        ({**STOP, "time_in_force": TimeInForce.GTC}, b"", "a stop_loss or take_profit with a price"),
        (LEGS[0], b"", "a leg of a one-cancels-other without the other one"),
        (LEGS[1], b"", "a leg of a one-cancels-other without the other one"),
        ({**STATUS, "side": 3}, b"", "an account status that does not exist"),
        ({**STATUS, "instrument": 0}, b"", "an account status that does not exist, or an instrument beside it"),
        ({**FEES, "price": -1}, b"", "fee rates that are neither"),
        ({**FEES, "quantity": 1_000_000}, b"", "fee rates that are neither"),
        ({"kind": CommandKind.INSTRUMENT_UPDATE}, b"", "a value that an instrument cannot have, or no value"),
        ({**UPDATE, "price": 1}, b"", "a value that an instrument cannot have"),
        ({**UPDATE, "account": 1_000_000}, b"", "a value that an instrument cannot have"),
        (
            {**UPDATE, "flags": 64, "account": 0, "price": 1_000_001 << 32},
            b"",
            "a value that an instrument cannot have",
        ),
        ({**UPDATE, "flags": 4, "account": 0, "quantity": 0}, b"", "a value that an instrument cannot have"),
        ({**REPLACE, "amount": 5}, b"", "the hash of a new client order id, but no such id"),
        ({**REPLACE, "flags": 16}, b"", "has strings that its kind does not have"),
        ({**REPLACE, "text_hash": 0}, b"\x1fnew", "has strings that its kind does not have"),
        ({**REPLACE, "flags": 16, "amount": 5, "text_hash": 0}, b"\x1fnew", "a new name that does not match its hash"),
        ({**LIMIT, "text_hash": text_hash(b"a")}, b"a\x1fb", "has strings that its kind does not have"),
        ({**DEPOSIT, "text_hash": text_hash(b"a")}, b"a\x1fb", "has strings that its kind does not have"),
        ({**CANCEL, "text_hash": text_hash(b"a")}, b"a\x1f", "has strings that its kind does not have"),
        ({**CANCEL, "text_hash": text_hash(b"a")}, b"a\x1fb\x1fc", "has strings that its kind does not have"),
        (CANCEL, b"x" * 37, "has strings that its kind does not have"),
        ({**CANCEL, "text_hash": text_hash(b"a")}, b"a\x1f" + b"x" * 37, "has strings that its kind does not have"),
        (CANCEL, b"x" * 74, "is too long"),
        ({"kind": CommandKind.CANCEL, "order_id": -1}, b"", "a negative order_id"),
        (DEPOSIT, b"", "no reference, which a deposit or withdrawal needs"),
        (LIMIT, b"x" * 37, "is too long"),
        (DEPOSIT, b"x" * 65, "is too long"),
        (LIMIT, b"a\n", "not printable ASCII"),
        (LIMIT, b"\xe9", "not printable ASCII"),
        ({**LIMIT, "text_hash": 7}, b"", "does not match its hash"),
        ({**LIMIT, "text_hash": 7}, b"a", "does not match its hash"),
        ({**LIMIT, "text_length": 2}, b"a", "a string that does not follow"),
        ({**LIMIT, "text_offset": 1}, b"a", "a string that does not follow"),
        (
            {**LIMIT, "text_length": 65535, "text_offset": 0xFFFFFFFF},
            b"",
            "a string that does not follow",
        ),
        (ASSET, b"", "an invalid definition"),
        (ASSET, b"[]", "A definition is a JSON object"),
        (ASSET, b"[" * 60_000, "an invalid definition"),
        (ASSET, b"9" * 60_000, "an invalid definition"),
        (ASSET, canonical({**BTC, "decimals": 19}).encode(), "a whole number from 0 to 18"),
        (ASSET, canonical({**BTC, "symbol": ["BTC"]}).encode(), "is not a symbol"),
        ({"kind": CommandKind.INSTRUMENT}, canonical({**BTC_USD, "base": "DOGE"}).encode(), "'DOGE', which does not"),
        (
            {"kind": CommandKind.INSTRUMENT},
            canonical({**BTC_USD, "quote": {}}).encode(),
            "must be the symbol of an asset",
        ),
        ({"kind": CommandKind.INSTRUMENT_STATUS}, b'{"symbol":"BTC-USD","status":"asleep"}', "is not a status"),
        ({"kind": CommandKind.INSTRUMENT_STATUS}, b'{"symbol":"NO-NE","status":"halted"}', "which does not exist"),
        ({"kind": CommandKind.INSTRUMENT_STATUS}, b'{"symbol":["BTC-USD"],"status":"halted"}', "an invalid definition"),
        ({"kind": CommandKind.INSTRUMENT_STATUS}, b'{"status":"halted"}', "which does not exist"),
    ],
)
def test_records_that_a_correct_edge_never_produces_are_refused_with_one_sentence(
    fields: dict[str, Any], text: bytes, said: str, registry: Any
) -> None:
    with pytest.raises(BadMessage, match=re.escape(said)) as refused:
        check(*batch((LIMIT, b"first"), (fields, text)), registry)
    assert SENTENCE.fullmatch(str(refused.value))


@pytest.mark.parametrize(
    "other",
    [
        {**LEGS[1], "account": 1},
        {**LEGS[1], "side": 1},
        {**LEGS[1], "quantity": 2},
        {**LEGS[1], "self_trade_prevention": 1},
        {**LEGS[1], "order_type": OrderType.TAKE_PROFIT},
        {**LEGS[1], "price": 1},
        {**LEGS[1], "kind": CommandKind.ORDER},
    ],
)
def test_legs_that_do_not_belong_together_are_refused(other: dict[str, Any], registry: Any) -> None:
    with pytest.raises(BadMessage, match="a leg of a one-cancels-other"):
        check(*batch((LEGS[0], b""), (other, b"")), registry)
    with pytest.raises(BadMessage, match="a leg of a one-cancels-other"):
        check(*batch((LEGS[0], b""), (LEGS[1], b""), (LEGS[1], b"")), registry)


def test_a_command_on_reference_data_must_be_the_last_of_a_batch(registry: Any) -> None:
    definition = canonical({**BTC, "symbol": "ETH"}).encode()
    with pytest.raises(BadMessage, match="which only the last command may"):
        check(*batch((ASSET, definition), (LIMIT, b"")), registry)
    with pytest.raises(BadMessage, match="which only the last command may"):
        check(*batch((ASSET, definition), (ASSET, definition)), registry)


def test_strings_that_no_command_refers_to_are_refused(registry: Any) -> None:
    records, texts = batch((LIMIT, b"a"), (LIMIT, b"b"))
    for wrong in (texts + b"c", texts[:1], b""):
        with pytest.raises(BadMessage, match="a string that does not follow"):
            check(records, wrong, registry)
    with pytest.raises(BadMessage, match="a string that does not follow"):
        check(records[::-1].copy(), texts, registry)


def test_hashes_are_those_of_the_strings_one_by_one() -> None:
    lengths = [0, 3, 0, 1, 64, 0]
    texts = b"abc" + b"x" + b"y" * 64
    expected = [0, *(xxhash.xxh3_64_intdigest(text) for text in (b"abc", b"x", b"y" * 64)), 0]
    expected.insert(2, 0)
    assert hashes(texts, lengths) == expected
    assert [text_hash(b""), text_hash(b"abc")] == expected[:2]


# Whatever comes

RANDOM_NUMBERS = (0, 1, 2, 3, 100, 10_000, 2**31, 2**32, 2**61, 2**62, 2**62 + 1, 2**63 - 1, -1, -(2**63))


def random_batch(random: Random) -> tuple[Records, bytes]:
    """Batches: half are random bytes, the others valid except for random values in some fields."""
    if random.randrange(2):
        data = random.randbytes(64 * random.randrange(1, 4))
        return np.frombuffer(bytearray(data), layout.COMMAND), random.randbytes(random.choice((0, 0, 5)))
    rows = []
    for _ in range(random.randrange(1, 5)):
        rows += random_rows(random)
    return batch(*rows)


def random_rows(random: Random) -> list[tuple[dict[str, Any], bytes]]:
    """A command: two rows for a one-cancels-other, one for any other."""
    kind = random.choice((*[1] * 12, 2, 2, 3, *[4] * 6, *[5] * 4, 6, 6, 10, 11, *[12] * 4, 14))
    fields: dict[str, Any] = {
        "kind": kind,
        "side": random.randrange(2),
        "account": random.randrange(3),
        "price": random.randrange(1, 5) if random.randrange(3) else random.choice(RANDOM_NUMBERS),
        "quantity": random.randrange(1, 5) if random.randrange(3) else random.choice(RANDOM_NUMBERS),
        "self_trade_prevention": random.randrange(4),
    }
    text = random.choice((b"", b"a", b"b", b"c", b"t-%d" % random.randrange(300)))
    if kind in (CommandKind.DEPOSIT, CommandKind.WITHDRAW):
        fields |= {"amount": random.choice(RANDOM_NUMBERS), "instrument": random.randrange(2)}
    elif kind in (CommandKind.CANCEL, CommandKind.REPLACE):
        fields["order_id"] = random.choice((0, 0, 0, 0, random.randrange(500), random.choice(RANDOM_NUMBERS)))
        if kind == CommandKind.REPLACE and random.randrange(2):
            name = random.choice((b"a", b"b", b"new"))
            fields |= {"amount": signed(text_hash(name)), "text_hash": text_hash(text)}
            fields["flags"] = CommandFlag.NEW_NAME | random.choice((0, CommandFlag.TOTAL_QUANTITY))
            text += b"\x1f" + name
    elif kind == CommandKind.INSTRUMENT_UPDATE:
        fields = {"kind": kind, "flags": 127, "quantity": random.randrange(1, 4), "amount": random.randrange(2, 9)}
        fields |= {"account": random.randrange(1000) | random.randrange(1000) << 32, "order_id": random.randrange(3)}
        fields["price"] = random.choice((0, 0, 100_000)) | random.choice((0, 0, 3)) << 32
    elif kind == CommandKind.ACCOUNT_STATUS:
        fields = {"kind": kind, "account": random.randrange(3), "side": random.choice((0, 0, 0, 0, 0, 1, 2))}
        fields["instrument"] = NONE_ID
    elif kind == CommandKind.ACCOUNT_FEES:
        fields |= {"side": 0, "price": random.choice((-1, 5)), "quantity": random.choice((-1, 7))}
        fields["instrument"] = random.choice((0, NONE_ID))
    elif random.randrange(3) == 0 and kind == CommandKind.ORDER:
        fields |= {"order_type": 1, "time_in_force": 1, "price": 0}
        if random.randrange(2):
            fields |= {"quantity": 0, "amount": random.choice(RANDOM_NUMBERS)}
    elif random.randrange(2) and kind == CommandKind.ORDER:
        fields |= {"amount": random.randrange(1, 5), "order_type": random.choice((0, 2, 3, 4, 5))}
        if fields["order_type"] in (OrderType.STOP_LOSS, OrderType.TAKE_PROFIT):
            fields |= {"price": 0, "time_in_force": TimeInForce.IOC}
    rows = [(fields, text)]
    if kind == CommandKind.OCO:
        fields["flags"] = CommandFlag.POST_ONLY
        stop = {**fields, "kind": CommandKind.OCO_STOP, "flags": 0, "order_type": OrderType.STOP_LOSS_LIMIT}
        rows.append(({**stop, "amount": random.randrange(1, 5)}, b""))
    if random.randrange(10) == 0:
        field = random.choice(layout.COMMAND.names or ())
        bits = 8 * layout.COMMAND[field].itemsize
        fields[field] = random.choice((0, 1, 2, 3, 2 ** (bits - 1) - 1, random.getrandbits(bits - 1)))
    return rows


class Offered:
    """An engine behind the validation, as in a server, with the results of what it was given."""

    def __init__(self) -> None:
        self.engine = defined_engine()
        self.supplies: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.kinds: Counter[int] = Counter()

    def offer(self, commands: Records, texts: bytes) -> None:
        try:
            self.engine.check(commands, texts)
        except BadMessage as refused:
            self.refusals[str(refused)] += 1
            return
        requests = np.array([(1, 1, 0, 0, len(commands), 0)], layout.REQUEST)
        block = self.engine.apply(requests, commands, texts, self.engine.block_number + 1)
        self.kinds.update(block.events["kind"].tolist())
        for sign, kind in ((1, EventKind.DEPOSITED), (-1, EventKind.WITHDRAWN)):
            for event in block.events[block.events["kind"] == kind]:
                self.supplies[self.engine.registry.assets[event["instrument"]].symbol] += sign * int(event["amount"])


def test_random_records_are_refused_or_break_no_invariant() -> None:
    random, offered = Random(3), Offered()
    for turn in range(10_000):
        offered.offer(*random_batch(random))
        if turn % 50 == 0:
            check_invariants(offered.engine, offered.supplies)
    check_invariants(offered.engine, offered.supplies)
    assert all(SENTENCE.fullmatch(sentence) for sentence in offered.refusals)
    assert sum(offered.refusals.values()) > 5000
    for kind in EventKind:
        is_of_definition = EventKind.ASSET_ADDED <= kind <= EventKind.INSTRUMENT_STATUS_CHANGED
        assert offered.kinds[kind] > 10 or is_of_definition, kind.name
