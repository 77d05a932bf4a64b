from datetime import date

import pytest

from back_office import filters
from back_office.filters import BadFilter
from back_office.formats import Figure, ReferenceData, utc_time
from matching.core.decimals import Unit
from matching.core.registry import canonical
from settlement.stores.base import Definition
from tests.back_office.market import DEFINITIONS


@pytest.mark.parametrize(
    ("units", "unit", "significant", "padding"),
    [
        (6_512_345, Unit.parse("0.01"), "65123.45", ""),
        (6_512_340, Unit.parse("0.01"), "65123.4", "0"),
        (6_512_300, Unit.parse("0.01"), "65123", ".00"),
        (5, Unit.parse("1"), "5", ""),
        (10, Unit.parse("1"), "10", ""),
        (3, Unit.parse("0.25"), "0.75", ""),
        (4, Unit.parse("0.25"), "1", ".00"),
        (-1, Unit.of_decimals(18), "-0.000000000000000001", ""),
        (10**18, Unit.of_decimals(18), "1", "." + "0" * 18),
        (1 << 62, Unit.of_decimals(0), "4611686018427387904", ""),
        (0, Unit.of_decimals(2), "", "0.00"),
        (0, Unit.of_decimals(0), "", "0"),
        (7, Unit.parse("100"), "700", ""),
    ],
)
def test_a_figure_has_all_decimal_places_of_its_unit(units: int, unit: Unit, significant: str, padding: str) -> None:
    figure = Figure.of(units, unit)
    assert (figure.significant, figure.padding) == (significant, padding)
    assert figure.text == significant + padding
    assert str(figure) == f'<span class="figure">{significant}<i>{padding}</i></span>'


def test_a_change_is_shown_with_its_sign() -> None:
    cents = Unit.of_decimals(2)
    figures = [Figure.of(units, cents, signed=True) for units in (150, -150, 0)]
    assert [figure.text for figure in figures] == ["+1.50", "-1.50", "0.00"]
    assert [figure.sign for figure in figures] == [1, -1, 0]


def test_a_time_is_utc_with_truncated_milliseconds() -> None:
    assert utc_time(1_767_268_800_999_999_999) == "2026-01-01T12:00:00.999Z"
    assert utc_time(1) == "1970-01-01T00:00:00.000Z"


class Definitions:
    """Definitions of a store; counts how often they are read."""

    def __init__(self) -> None:
        self.known = 0
        self.asked = 0
        self.now_s = 0.0

    def read(self) -> list[Definition]:
        self.asked += 1
        return [Definition(n, kind, canonical(text)) for n, (kind, text) in enumerate(DEFINITIONS[: self.known])]


def test_reference_data_is_cached_and_read_again_for_an_unknown_symbol() -> None:
    source = Definitions()
    reference = ReferenceData(source.read, clock=lambda: source.now_s)
    assert reference.instrument("BTC-USD") is None
    source.known = len(DEFINITIONS)
    assert reference.price("ETH-USD", 341_200).text == "3412.00"
    asked = source.asked
    assert reference.amount("BTC", 1).text == "0.00000001"
    assert reference.quantity("BTC-USD", 12).text == "0.0012"
    assert source.asked == asked


def test_an_undefined_symbol_is_looked_up_once() -> None:
    source = Definitions()
    reference = ReferenceData(source.read, clock=lambda: source.now_s)
    for _ in range(50):
        assert reference.price("GOLD-USD", 5).text == "5 ticks"
        assert reference.quantity("GOLD-USD", 6).text == "6 lots"
        assert reference.amount("GOLD", 7).text == "7 units"
    assert source.asked <= 3


def test_reference_data_is_read_again_after_its_maximum_age() -> None:
    source = Definitions()
    reference = ReferenceData(source.read, clock=lambda: source.now_s)
    reference.registry()
    source.known = len(DEFINITIONS)
    source.now_s = 14.9
    assert not reference.registry().instruments
    source.now_s = 15.1
    assert len(reference.registry().instruments) == 2


def test_filters_accept_spaces_and_lower_case() -> None:
    query = {"account": " 7 ", "symbol": " btc-usd ", "day": "2026-01-31", "before": "12-3", "empty": " "}
    assert filters.whole_number(query, "account", "Account") == 7
    assert filters.symbol(query, "symbol", "Instrument") == "BTC-USD"
    assert filters.day(query, "day", "Day") == date(2026, 1, 31)
    assert filters.entry_key(query, "before", "Before") == (12, 3)
    for read in (filters.whole_number, filters.symbol, filters.day, filters.entry_key):
        assert read(query, "empty", "It") is None
        assert read(query, "missing", "It") is None


def test_an_error_message_shortens_a_long_value() -> None:
    with pytest.raises(BadFilter) as refusal:
        filters.whole_number({"account": "9" * 5000}, "account", "Account")
    assert len(str(refusal.value)) < 120
