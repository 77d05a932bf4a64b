"""Orders that show a part of their quantity: pieces, places, and what is reckoned with them."""

import pytest

from tests.reference.limits import Limits
from tests.reference.tape import PLENTY, Tape


def _visible(tape: Tape) -> list[tuple[str, str]]:
    rows = tape.exchange.open_orders()
    return [(row["remaining"], row["visible"]) for row in rows if "visible" in row]


def test_a_large_taker_meets_the_others_before_the_next_piece() -> None:
    tape = Tape()
    tape.place("ice", 1, "sell", 10, 5, visible_quantity="2")
    tape.place("plain", 2, "sell", 10, 3)
    assert tape.place("x", 3, "buy", 10, 7)[1:] == [
        "x trades 2 at 10 with ice",
        "x trades 3 at 10 with plain",
        "x trades 2 at 10 with ice",
    ]
    assert _visible(tape) == [("1", "1")]


def test_each_piece_is_a_trade_also_where_nobody_else_is() -> None:
    tape = Tape()
    tape.place("ice", 1, "sell", 10, 5, visible_quantity="2")
    assert tape.place("x", 3, "buy", 10, 9)[1:] == [f"x trades {lots} at 10 with ice" for lots in (2, 2, 1)]


def test_a_piece_that_is_partly_taken_keeps_its_place() -> None:
    tape = Tape()
    tape.place("ice", 1, "sell", 10, 6, visible_quantity="3")
    tape.place("plain", 2, "sell", 10, 1)
    tape.place("x", 3, "buy", 10, 1)
    assert _visible(tape) == [("5", "2")]
    assert tape.place("y", 3, "buy", 10, 3)[1:] == ["y trades 2 at 10 with ice", "y trades 1 at 10 with plain"]
    assert _visible(tape) == [("3", "3")]


def test_a_taker_with_a_visible_quantity_hides_only_what_rests() -> None:
    tape = Tape()
    tape.place("ask", 1, "sell", 10, 4)
    tape.place("ice", 2, "buy", 10, 9, visible_quantity="2")
    assert tape.book() == ["ice buy 5 at 10"]
    assert _visible(tape) == [("5", "2")]


@pytest.mark.parametrize(
    ("quantity", "visible", "told"),
    [
        (100, 1, "o accepted"),
        (101, 1, "refused invalid_quantity"),
        (300, 3, "o accepted"),
        (301, 3, "refused invalid_quantity"),
        (5, 5, "o accepted"),
        (5, 6, "refused invalid_quantity"),
        (5, 0, "refused invalid_quantity"),
        (5, -1, "refused invalid_quantity"),
    ],
)
def test_an_iceberg_has_at_most_100_pieces(quantity: int, visible: int, told: str) -> None:
    assert Tape().place("o", 1, "buy", 10, quantity, visible_quantity=str(visible)) == [told]


def test_the_visible_quantity_is_at_least_the_least_quantity() -> None:
    tape = Tape(min_quantity="3")
    assert tape.place("o", 1, "buy", 10, 9, visible_quantity="2") == ["refused invalid_quantity"]
    assert tape.place("o", 1, "buy", 10, 9, visible_quantity="3") == ["o accepted"]


def test_a_replace_that_keeps_the_place_takes_from_the_hidden_part_first() -> None:
    tape = Tape()
    tape.place("ice", 1, "sell", 10, 9, visible_quantity="4")
    tape.place("x", 2, "buy", 10, 1)
    assert tape.replace("ice", 1, 10, 5) == ["ice keeps its place"]
    assert _visible(tape) == [("5", "3")]
    assert tape.replace("ice", 1, 10, 2) == ["ice keeps its place"]
    assert _visible(tape) == [("2", "2")]
    assert tape.replace("ice", 1, 10, 400) == ["ice loses its place"]
    assert _visible(tape) == [("400", "4")]
    assert tape.replace("ice", 1, 11, 401) == ["refused invalid_quantity"]
    tape.update(min_quantity="5")
    assert tape.replace("ice", 1, 11, 400) == ["ice loses its place"], "v is not judged again"


def test_hidden_lots_count_for_fok_and_for_the_cost_of_a_market_order() -> None:
    tape = Tape(plenty=100)
    tape.place("ice", 1, "sell", 10, 5, visible_quantity="1")
    tape.place("next", 1, "sell", 12, 5)
    assert tape.place("f", 2, "buy", 10, 6, time_in_force="fok")[1:] == ["f cancelled fok_not_fillable 6"]
    assert tape.market("x", 2, "buy", quantity="10") == ["refused insufficient_balance"]
    assert tape.market("y", 2, "buy", quantity="9")[-1] == "y trades 4 at 12 with next"
    assert tape.balance(2, "QUOTE") == ("2", "0")


@pytest.mark.parametrize(("mode", "fillable"), [("expire_taker", 3), ("expire_maker", 6), ("none", 7)])
def test_hidden_lots_count_only_as_far_as_the_taker_would_meet_them(mode: str, fillable: int) -> None:
    """The pieces of `ice` alternate with `own`, which the taker does not pass unless its mode lets it."""
    for quantity in range(1, 9):
        tape = Tape()
        tape.place("ice", 1, "sell", 10, 6, visible_quantity="3")
        tape.place("own", 2, "sell", 10, 1)
        more = {"time_in_force": "fok", "self_trade_prevention": mode}
        told = tape.place("x", 2, "buy", 10, quantity, **more)
        assert ("x cancelled fok_not_fillable" in told[-1]) == (quantity > fillable), quantity


def test_self_trade_prevention_cancels_an_iceberg_whole() -> None:
    tape = Tape()
    tape.place("ice", 1, "sell", 10, 6, visible_quantity="2")
    tape.place("other", 2, "sell", 10, 1)
    assert tape.place("x", 1, "buy", 10, 3, self_trade_prevention="expire_maker")[1:] == [
        *("ice cancelled self_trade 6", "x trades 1 at 10 with other"),
    ]
    assert tape.balance(1, "BASE") == (str(PLENTY + 1), "0")


def test_each_piece_counts_as_one_that_a_taker_meets() -> None:
    tape = Tape(limits=Limits(makers=2))
    tape.place("ice", 1, "sell", 10, 3, visible_quantity="1")
    assert tape.place("f", 2, "buy", 10, 3, time_in_force="fok")[1:] == ["f cancelled fok_not_fillable 3"]
    assert tape.market("x", 2, "buy", quantity="3")[-1] == "x cancelled work_limit 1"


def test_a_sale_by_quote_locks_exactly_the_lots_that_it_sells_across_pieces() -> None:
    tape = Tape(plenty=0)
    tape.deposit(1, "QUOTE", 1000)
    tape.deposit(2, "BASE", 4)
    tape.place("ice", 1, "buy", 10, 3, visible_quantity="1")
    tape.place("next", 1, "buy", 7, 5)
    assert tape.market("x", 2, "sell", quote_quantity="44") == ["refused insufficient_balance"]
    assert tape.market("y", 2, "sell", quote_quantity="43")[1:] == [
        *["y trades 1 at 10 with ice"] * 3,
        *("y trades 1 at 7 with next", "y cancelled quote_quantity_used quote 6"),
    ]
    assert tape.balance(2, "BASE") == ("0", "0")
