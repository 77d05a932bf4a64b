"""Matching scenarios in the notation of `tests/matching/scenario.py`."""

import pytest

from tests.matching.scenario import check


def test_a_scenario_with_another_outcome_fails() -> None:
    with pytest.raises(AssertionError, match="place o2 ask 100 x7: fills o1:5, rests x2"):
        check("""
            place o1 bid 100 x5    rests
            place o2 ask 100 x7    fills o1:5
        """)


def test_better_prices_match_first_then_older_orders() -> None:
    check("""
        place o1 ask 102 x1    rests
        place o2 ask 101 x2    rests
        place o3 ask 101 x2    rests
        place o4 ask 103 x9    rests
        place o5 bid 102 x4    fills o2:2 o3:2
        place o6 bid 103 x3    fills o1:1 o4:2
        book                   ask 103 x7
    """)


def test_partial_fill_keeps_time_priority() -> None:
    check("""
        place o1 bid 100 x5    rests
        place o2 bid 100 x5    rests
        place o3 ask 100 x2    fills o1:2
        place o4 ask 100 x5    fills o1:3 o2:2
        book                   bid 100 x3
    """)


def test_the_rest_of_an_order_rests_at_its_own_price() -> None:
    check("""
        place o1 ask 100 x5    rests
        place o2 bid 101 x8    fills o1:5, rests x3
        place o3 ask 102 x1    rests
        book                   bid 101 x3, ask 102 x1
        place o4 ask 99 x3     fills o2:3
        book                   ask 102 x1
    """)


def test_ioc_fills_what_is_available_and_never_rests() -> None:
    check("""
        place o1 ask 100 x5       rests
        place o2 bid 99 x3 ioc    cancelled ioc x3
        place o3 bid 100 x8 ioc   fills o1:5, cancelled ioc x3
        book                      empty
    """)


def test_fok_fills_completely_or_not_at_all() -> None:
    check("""
        place o1 ask 100 x5       rests
        place o2 ask 101 x5       rests
        place o3 bid 100 x6 fok   cancelled fok_not_fillable x6
        place o4 bid 101 x11 fok  cancelled fok_not_fillable x11
        book                      ask 100 x5, ask 101 x5
        place o5 bid 101 x10 fok  fills o1:5 o2:5
        book                      empty
    """)


def test_fok_counts_only_orders_that_its_self_trade_mode_lets_it_take() -> None:
    check("""
        place o1 ask 100 x5                           rests
        place o2 ask 100 x5 by ann                    rests
        place o3 ask 100 x5                           rests
        place o4 bid 100 x6 fok by ann                cancelled fok_not_fillable x6
        place o5 bid 100 x11 fok expire_maker by ann  cancelled fok_not_fillable x11
        place o6 bid 100 x11 fok expire_both by ann   cancelled fok_not_fillable x11
        place o7 bid 100 x5 fok by ann                fills o1:5
        place o8 bid 100 x5 fok expire_maker by ann   o2 cancelled self_trade x5, fills o3:5
        book                                          empty
    """)


def test_post_only_never_takes_even_from_its_own_account() -> None:
    check("""
        place o1 ask 100 x5 by ann                      rests
        place o2 bid 100 x1 post-only                   refused post_only_would_match
        place o3 bid 105 x1 post-only none by ann       refused post_only_would_match
        place o4 bid 99 x1 post-only                    rests
        place o5 ask 99 x1 post-only                    refused post_only_would_match
        place o6 ask 100 x1 post-only                   rests
        book                                            bid 99 x1, ask 100 x6
    """)


def test_only_a_smaller_quantity_keeps_time_priority() -> None:
    check("""
        place o1 bid 100 x5    rests
        place o2 bid 100 x5    rests
        place o3 bid 100 x5    rests
        replace o1 100 x4      keeps its place, rests x4
        replace o2 100 x6      loses its place, rests x6
        place o4 ask 100 x10   fills o1:4 o3:5 o2:1
        replace o2 101 x5      loses its place, rests x5
        replace o2 100 x5      loses its place, rests x5
        book                   bid 100 x5
    """)


def test_a_replaced_order_may_match_at_once() -> None:
    check("""
        place o1 ask 105 x5            rests
        place o2 bid 100 x9            rests
        replace o2 105 x9              loses its place, fills o1:5, rests x4
        place o3 bid 104 x1 post-only  rests
        place o4 ask 106 x2            rests
        replace o3 106 x1              refused post_only_would_match
        replace o3 104 x1              keeps its place, rests x1
        replace o1 100 x1              refused unknown_order
        book                           bid 105 x4, bid 104 x1, ask 106 x2
    """)


def test_a_replaced_order_uses_its_own_self_trade_mode() -> None:
    check("""
        place o1 ask 105 x5 by ann               rests
        place o2 bid 100 x3 by ann               rests
        place o3 bid 99 x3 expire_maker by ann   rests
        replace o2 105 x3                        loses its place, cancelled self_trade x3
        replace o3 106 x3                        loses its place, o1 cancelled self_trade x5, rests x3
        book                                     bid 106 x3
    """)


@pytest.mark.parametrize(
    ("mode", "outcome", "left"),
    [
        ("none", "fills o1:2 o2:3 o3:2", "empty"),
        ("expire_taker", "fills o1:2, cancelled self_trade x5", "ask 100 x5"),
        ("expire_maker", "fills o1:2, o2 cancelled self_trade x3, fills o3:2, rests x3", "bid 100 x3"),
        ("expire_both", "fills o1:2, o2 cancelled self_trade x3, cancelled self_trade x5", "ask 100 x2"),
    ],
)
def test_the_takers_mode_decides_a_self_trade(mode: str, outcome: str, left: str) -> None:
    check(f"""
        place o1 ask 100 x2                 rests
        place o2 ask 100 x3 by ann          rests
        place o3 ask 100 x2                 rests
        place o4 bid 100 x7 {mode} by ann   {outcome}
        book                                {left}
    """)


def test_a_market_order_takes_any_price_and_its_rest_is_cancelled() -> None:
    check("""
        place o1 ask 100 x2      rests
        place o2 ask 9000 x2     rests
        market m1 bid x3         fills o1:2 o2:1
        market m2 ask x1         cancelled no_liquidity x1
        market m3 bid x3         fills o2:1, cancelled no_liquidity x2
        market m4 bid x1         cancelled no_liquidity x1
        place o3 bid 1 x4        rests
        market m5 ask x4         fills o3:4
        book                     empty
    """)


def test_an_order_by_quote_quantity_takes_whole_lots_and_keeps_the_change() -> None:
    check("""
        place o1 ask 100 x2      rests
        place o2 ask 150 x2      rests
        market m1 bid for 99     refused quote_quantity_too_small
        market m2 bid for 349    fills o1:2, cancelled quote_quantity_used 149
        market m3 bid for 299    fills o2:1, cancelled quote_quantity_used 149
        market m4 bid for 400    fills o2:1, cancelled no_liquidity 250
        market m5 bid for 400    cancelled no_liquidity 400
    """)


def test_an_order_by_quote_quantity_that_cannot_pay_the_next_lot_does_not_self_trade() -> None:
    check("""
        place o1 ask 100 x1                             rests
        place o2 ask 150 x1 by ann                      rests
        market m1 bid for 249 expire_both by ann        fills o1:1, cancelled quote_quantity_used 149
        market m2 bid for 150 expire_maker by ann       o2 cancelled self_trade x1, cancelled no_liquidity 150
        book                                            empty
    """)


def test_a_cancelled_order_is_gone() -> None:
    check("""
        place o1 bid 100 x5    rests
        place o2 bid 100 x5    rests
        place o3 ask 100 x2    fills o1:2
        cancel o1              cancelled user x3
        cancel o1              refused unknown_order
        place o4 ask 100 x6    fills o2:5, rests x1
        cancel o2              refused unknown_order
        book                   ask 100 x1
    """)
