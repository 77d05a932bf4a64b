"""Exact decimals are converted without loss; values that do not fit are refused."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.core.decimals import INT64_MAX, INT64_MIN, DoesNotFit, NotPlain, Unit, plain, split
from tests.matching.examples import examples
from tests.reference import plain_decimal

int64s = st.integers(INT64_MIN, INT64_MAX)
units = st.builds(Unit, st.integers(1, 10**6), st.integers(0, 18))
decimal_like = st.text("0123456789.-+e ٣", max_size=30) | st.from_regex(
    r"-?[0-9]{1,25}(\.[0-9]{1,25})?", fullmatch=True
)


def fraction(unit: Unit) -> Fraction:
    return Fraction(unit.mantissa, 10**unit.scale)


@examples(200)
@given(units, int64s)
def test_a_count_of_units_is_written_and_read_back(unit: Unit, count: int) -> None:
    text = unit.text(count)
    assert unit.count(text) == count
    assert Fraction(text) == Fraction(unit.decimal(count)) == count * fraction(unit)


@examples(200)
@given(units, int64s)
def test_a_count_is_written_in_the_same_shortest_form_as_by_the_reference(unit: Unit, count: int) -> None:
    assert unit.text(count) == plain_decimal.write(count, fraction(unit))


@examples(200)
@given(units, int64s, st.integers(0, 30), st.integers(0, 70))
def test_leading_and_trailing_zeros_do_not_matter(unit: Unit, count: int, before: int, behind: int) -> None:
    text = unit.text(abs(count))
    padded = "0" * before + text + ("" if "." in text else ".0") + "0" * behind
    assert split(padded) == split(text)


@examples(200)
@given(units, decimal_like)
def test_any_text_is_converted_or_refused_as_by_the_reference(unit: Unit, text: str) -> None:
    value = plain_decimal.parse(text)
    if value is None:
        with pytest.raises(NotPlain):
            unit.count(text)
        return
    expected = plain_decimal.steps(value, fraction(unit))
    if expected is None:
        with pytest.raises(DoesNotFit):
            unit.count(text)
    else:
        assert unit.count(text) == expected


@pytest.mark.parametrize(
    "value",
    [
        *("", "+1", "1.", ".5", "-", ".", "1e5", " 1", "1 ", "1\n", "\n1", "٣", "0x1", "1_000", "1,5", "--1", "1.2.3"),
        *("NaN", "Infinity", "1/2", "²", "1\0"),
        *(None, True, 1, 0, 1.5, Decimal(1), b"1", ["1"], {}, ()),
    ],
)
def test_a_value_that_is_not_a_plain_decimal_string_is_refused(value: object) -> None:
    with pytest.raises(NotPlain):
        split(value)
    with pytest.raises(NotPlain):
        Unit(1, 0).count(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-12.50", (-125, 1)),
        ("0", (0, 0)),
        ("-0", (0, 0)),
        ("-0.000", (0, 0)),
        ("007", (7, 0)),
        ("0.010", (1, 2)),
        ("100", (100, 0)),
        ("0" * 5000 + "1." + "0" * 5000, (1, 0)),
    ],
)
def test_a_decimal_is_split_into_digits_and_scale(text: str, expected: tuple[int, int]) -> None:
    assert split(text) == expected


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("1", "0.5"),
        ("0.01", "0.001"),
        ("0.25", "0.3"),
        ("5", "12"),
        ("1", str(INT64_MAX + 1)),
        ("1", str(INT64_MIN - 1)),
        ("0.000000000000000001", "9.223372036854775808"),
        ("1", "9" * 5000),
        ("1", "0." + "1" * 5000),
        ("0.000000000000000001", "0." + "0" * 5000 + "1"),
        ("1", "1" + "0" * 64),
    ],
)
def test_a_value_that_is_not_an_int64_number_of_units_does_not_fit(unit: str, text: str) -> None:
    with pytest.raises(DoesNotFit):
        Unit.parse(unit).count(text)


def test_the_ends_of_int64_fit_at_every_scale() -> None:
    for decimals in range(19):
        unit = Unit.of_decimals(decimals)
        for count in (INT64_MIN, INT64_MAX):
            assert unit.count(unit.text(count)) == count
        for count in (INT64_MIN - 1, INT64_MAX + 1):
            with pytest.raises(DoesNotFit):
                unit.count(plain(count, decimals))


@pytest.mark.parametrize("text", ["0", "-1", "0.000", "-0.5"])
def test_a_unit_is_positive(text: str) -> None:
    with pytest.raises(DoesNotFit):
        Unit.parse(text)


def test_a_unit_is_kept_in_its_shortest_form() -> None:
    assert Unit.parse("0.50") == Unit(5, 1)
    assert Unit.parse("10.0") == Unit(10, 0)
    assert Unit.of_decimals(18) == Unit(1, 18)
