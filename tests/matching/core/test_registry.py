"""Reference data: valid and invalid definitions, and equality of copies."""

import json
from typing import Any

import pytest

from matching.core.codes import CommandKind, InstrumentStatus, Reason
from matching.core.errors import BadDefinition
from matching.core.registry import Registry, canonical
from matching.workloads.btc_usd import BTC, BTC_USD, USD

Fields = dict[str, Any]
GONE: object = ...  # instead of a value: the field is missing


@pytest.fixture
def registry() -> Registry:
    """With BTC of 8 and USD of 6 decimals."""
    made = Registry()
    for definition in (BTC, USD):
        assert made.apply(CommandKind.ASSET, canonical(definition))[1] == Reason.NONE
    return made


def changed(definition: Fields, changes: Fields) -> Fields:
    return {name: value for name, value in {**definition, **changes}.items() if value is not GONE}


def test_an_instrument_is_converted_to_ticks_lots_and_units(registry: Registry) -> None:
    instrument = registry.instrument_from({**BTC_USD, "min_notional": "10.5", "min_quantity": "0.0020"})
    assert (instrument.lot_units, instrument.quote_unit) == (10_000, 1)
    assert (instrument.min_quantity, instrument.max_quantity) == (20, 10**9)
    assert instrument.min_notional == 10_500_000
    assert (instrument.maker_fee, instrument.taker_fee) == (1000, 2000)
    assert (instrument.base.symbol, instrument.quote.symbol) == ("BTC", "USD")


def test_a_definition_is_given_back_in_its_shortest_form(registry: Registry) -> None:
    spelled = {**BTC_USD, "tick_size": "0.0100", "lot_size": "00.0001", "max_quantity": "100000.0000"}
    assert registry.instrument_from(spelled).definition() == BTC_USD
    assert registry.asset_from({"decimals": 8, "symbol": "BTC", "colour": "gold"}).definition() == BTC


@pytest.mark.parametrize(
    "changes",
    [
        *({"symbol": symbol} for symbol in (GONE, None, "", "btc", "A" * 33, "A B", "A\n", "Ä", "A/B", 7, ["A"])),
        *({"base": asset} for asset in (GONE, None, 1, ["BTC"], {}, "USD")),
        *({"quote": asset} for asset in (GONE, None, 1, "BTC")),
        *({"tick_size": size} for size in (GONE, None, 1, "0", "-0.01", "1e2", "0.001", "0.0000000000000000001")),
        *({"lot_size": size} for size in (GONE, "0", "-1", 0.1, "0.00001", "0.000000001", "1" + "0" * 100)),
        *({"min_quantity": lots} for lots in (GONE, "0", "-0.0001", "0.00005", "100000.0001", 1, None)),
        *({"max_quantity": lots} for lots in (GONE, "0", "0.00005", "99999999999999999999", None)),
        *({"min_notional": money} for money in (GONE, "-1", "0.0000001", "9999999999999999", 5, None)),
        *({"maker_fee": fee} for fee in (GONE, None, -1, 1_000_000, 1.0, "1", True)),
        *({"taker_fee": fee} for fee in (GONE, None, -1, 1_000_000, 0.5, "1", False)),
    ],
    ids=str,
)
def test_an_invalid_instrument_is_refused(changes: Fields, registry: Registry) -> None:
    with pytest.raises(BadDefinition, match=r"^[^\n]+\.$|^[^\n]+ -$"):
        registry.instrument_from(changed(BTC_USD, changes))


@pytest.mark.parametrize("changes", [{"base": "DOGE"}, {"quote": "DOGE"}])
def test_an_unknown_asset_is_named(changes: Fields, registry: Registry) -> None:
    with pytest.raises(KeyError, match="DOGE"):
        registry.instrument_from({**BTC_USD, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        *({"symbol": symbol} for symbol in (GONE, None, "", "btc", "A" * 33, 7)),
        *({"decimals": decimals} for decimals in (GONE, None, -1, 19, 8.0, "8", True, 10**30)),
    ],
    ids=str,
)
def test_an_invalid_asset_is_refused(changes: Fields) -> None:
    with pytest.raises(BadDefinition):
        Registry().asset_from(changed(BTC, changes))


@pytest.mark.parametrize(
    ("base_decimals", "quote_decimals", "tick_size", "lot_size", "possible"),
    [
        (8, 6, "0.01", "0.0001", True),  # the worked example
        (8, 2, "0.01", "0.0001", False),
        (8, 2, "0.01", "0.01", False),
        (18, 18, "0.000000001", "0.000000001", True),
        (18, 18, "0.0000000001", "0.000000001", False),
        (18, 0, "1", "4.611686018427387904", False),  # a lot of 2^62 units, but a fraction of a quote unit
        (18, 18, "1", "9.223372036854775807", True),  # 2^63 - 1 of both
        (18, 18, "1", "9.223372036854775808", False),
        (18, 18, "9", "2", False),  # 18 × 10^18 quote units
        (0, 0, "1", "9223372036854775807", True),
        (0, 0, "9223372036854775807", "1", True),
        (0, 0, "2", "4611686018427387904", False),
        (0, 2, "0.01", "1", True),
    ],
)
def test_a_lot_and_its_price_are_whole_numbers_of_units_in_int64(
    base_decimals: int, quote_decimals: int, tick_size: str, lot_size: str, possible: bool
) -> None:
    registry = Registry()
    for symbol, decimals in (("B", base_decimals), ("Q", quote_decimals)):
        registry.add_asset(registry.asset_from({"symbol": symbol, "decimals": decimals}))
    sizes = {"base": "B", "quote": "Q", "tick_size": tick_size, "lot_size": lot_size}
    definition = {**BTC_USD, **sizes, "min_quantity": lot_size, "max_quantity": lot_size}
    if possible:
        instrument = registry.instrument_from(definition)
        assert 1 <= instrument.lot_units < 2**63
        assert 1 <= instrument.quote_unit < 2**63
    else:
        with pytest.raises(BadDefinition, match="must be a whole number of units of B and Q"):
            registry.instrument_from(definition)


def test_an_existing_definition_is_not_changed(registry: Registry) -> None:
    assert registry.apply(CommandKind.INSTRUMENT, canonical(BTC_USD)) == (0, Reason.NONE)
    before = registry.dump()
    assert registry.apply(CommandKind.ASSET, canonical({**USD, "decimals": 2})) == (1, Reason.ALREADY_EXISTS)
    again = canonical({**BTC_USD, "maker_fee": 7})
    assert registry.apply(CommandKind.INSTRUMENT, again) == (0, Reason.ALREADY_EXISTS)
    assert registry.dump() == before


def test_only_known_statuses_are_accepted(registry: Registry) -> None:
    registry.apply(CommandKind.INSTRUMENT, canonical(BTC_USD))
    assert registry.statuses == [InstrumentStatus.TRADING]
    for status in InstrumentStatus:
        definition = {"command": "instrument_status", "symbol": "BTC-USD", "status": status.name.lower()}
        assert registry.apply(CommandKind.INSTRUMENT_STATUS, canonical(definition)) == (0, Reason.NONE)
        assert registry.statuses == [status]
    for wrong in ("TRADING", "", None, 0, "asleep"):
        with pytest.raises(BadDefinition, match="is not a status: use trading, cancel_only or halted"):
            registry.apply(CommandKind.INSTRUMENT_STATUS, canonical({"symbol": "BTC-USD", "status": wrong}))


def test_a_registry_is_made_from_definitions_in_order(registry: Registry) -> None:
    registry.apply(CommandKind.INSTRUMENT, canonical(BTC_USD))
    definitions = [
        *((CommandKind.ASSET, canonical(asset.definition())) for asset in registry.assets),
        *((CommandKind.INSTRUMENT, canonical(one.definition())) for one in registry.instruments),
        (CommandKind.INSTRUMENT_STATUS, canonical({"symbol": "BTC-USD", "status": "halted"})),
    ]

    made = Registry.from_definitions(definitions)

    assert (made.assets, made.instruments) == (registry.assets, registry.instruments)
    assert made.statuses == [InstrumentStatus.HALTED]


def test_a_copy_goes_through_json_and_is_equal(registry: Registry) -> None:
    registry.apply(CommandKind.INSTRUMENT, canonical(BTC_USD))
    registry.apply(CommandKind.INSTRUMENT, canonical({**BTC_USD, "symbol": "USD-BTC.2", "tick_size": "0.02"}))
    registry.statuses[1] = InstrumentStatus.HALTED
    copy = Registry.load(json.loads(json.dumps(registry.dump())))
    assert copy.dump() == registry.dump()
    assert (copy.assets, copy.instruments, copy.statuses) == (registry.assets, registry.instruments, registry.statuses)
    assert copy.instrument_by_symbol == registry.instrument_by_symbol
    assert copy.asset_by_symbol == registry.asset_by_symbol
