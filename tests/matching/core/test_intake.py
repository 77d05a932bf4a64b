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
from matching.core.codes import NONE_ID, CommandKind, EventKind, OrderType, TimeInForce
from matching.core.errors import BadMessage
from matching.core.intake import check
from matching.core.registry import canonical
from matching.core.texts import hashes, text_hash
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
        ({**LIMIT, "post_only": 2}, b"", "a post_only that is neither 0 nor 1"),
        (
            {**LIMIT, "post_only": 1, "time_in_force": TimeInForce.IOC},
            b"",
            "post_only and another time in force",
        ),
        ({**MARKET, "price": 1}, b"", "order type market with a price"),
        ({**MARKET, "time_in_force": TimeInForce.GTC}, b"", "order type market with a price"),
        ({**LIMIT, "amount": 1}, b"", "a quote_quantity beside a quantity, or not on a market buy"),
        ({**MARKET, "amount": 1}, b"", "a quote_quantity beside a quantity, or not on a market buy"),
        (
            {**MARKET, "amount": 1, "quantity": 0, "side": 1},
            b"",
            "a quote_quantity beside a quantity, or not on a market buy",
        ),
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
        fields: dict[str, Any] = {
            "kind": random.choice((1, 1, 1, 1, 1, 2, 4, 5, 5, 6, random.randrange(1, 7))),
            "side": random.randrange(2),
            "account": random.randrange(3),
            "price": random.randrange(1, 5) if random.randrange(3) else random.choice(RANDOM_NUMBERS),
            "quantity": random.randrange(1, 5) if random.randrange(3) else random.choice(RANDOM_NUMBERS),
            "self_trade_prevention": random.randrange(4),
        }
        if fields["kind"] >= CommandKind.DEPOSIT:
            fields |= {"amount": random.choice(RANDOM_NUMBERS), "instrument": random.randrange(2)}
        if fields["kind"] in (CommandKind.CANCEL, CommandKind.REPLACE):
            fields["order_id"] = random.choice((0, random.randrange(500), random.choice(RANDOM_NUMBERS)))
        if random.randrange(4) == 0:
            fields |= {"order_type": 1, "time_in_force": 1, "price": 0}
            if random.randrange(2):
                fields |= {"quantity": 0, "amount": random.choice(RANDOM_NUMBERS)}
        if random.randrange(10) == 0:
            name = random.choice(layout.COMMAND.names or ())
            bits = 8 * layout.COMMAND[name].itemsize
            fields[name] = random.choice((0, 1, 2, 3, 2 ** (bits - 1) - 1, random.getrandbits(bits - 1)))
        rows.append((fields, random.choice((b"", b"a", b"b", b"c", b"t-%d" % random.randrange(300)))))
    return batch(*rows)


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
        assert offered.kinds[kind] > 20 or kind >= EventKind.ASSET_ADDED, kind.name
