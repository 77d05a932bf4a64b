from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from gateway.market.figures import percent_text, quotient_text


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**20), st.integers(1, 12))
def test_a_quotient_is_rounded_to_its_decimals(numerator: int, denominator: int, decimals: int) -> None:
    text = quotient_text(numerator, denominator, decimals)
    assert len(text.partition(".")[2]) == decimals
    assert abs(Fraction(text) - Fraction(numerator, denominator)) <= Fraction(1, 2 * 10**decimals)


def test_half_is_rounded_away_from_zero() -> None:
    assert [quotient_text(one, 8, 2) for one in (1, -1, 3, 0)] == ["0.13", "-0.13", "0.38", "0.00"]


def test_percent() -> None:
    assert [percent_text(1, 3), percent_text(-1, 8), percent_text(0, 0)] == ["33.333", "-12.500", "0.000"]
