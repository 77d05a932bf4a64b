"""Hypothesis searches for commands after which kernel and reference engine differ, or an invariant is broken."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from matching.core.decimals import Unit
from tests.matching.both import Both
from tests.reference.words import ACCOUNT_STATUSES, LIMIT_TYPES, SELF_TRADE_MODES, STATUSES, TRIGGER_TYPES

DECIMALS = {"A": 0, "B": 0, "C": 16}
USUAL = {"tick_size": "1", "lot_size": "1", "min_quantity": "1", "max_quantity": str(2**62), "min_notional": "0"}
INSTRUMENTS: list[dict[str, Any]] = [
    {"symbol": "A-B", "base": "A", "quote": "B", "maker_fee": 0, "taker_fee": 300_000},
    # The same assets the other way round: funds locked in one book are missing in the other.
    {"symbol": "B-A", "base": "B", "quote": "A", "maker_fee": 999_999, "taker_fee": 1, "min_notional": "4"},
    # A lot at a price of one tick is 10^16 units of C: few lots reach 2^62.
    {"symbol": "A-C", "base": "A", "quote": "C", "maker_fee": 1, "taker_fee": 999_999, "max_quantity": "50"},
]

ACCOUNTS = (1, 2, 0, 2**63 - 1)
accounts = st.sampled_from(ACCOUNTS)
makers, takers = st.sampled_from((2, 1)), st.sampled_from((0, 2**63 - 1, 1, 2))
symbols = st.sampled_from([instrument["symbol"] for instrument in INSTRUMENTS])
assets = st.sampled_from(list(DECIMALS))
sides = st.sampled_from(["buy", "sell"])
near_prices, small_lots = st.integers(1, 5), st.integers(1, 6)
# Prices at the ends of leaves and nodes of the price tree, and values that are too large.
odd_prices = st.sampled_from([0, 63, 64, 65, 4095, 4096, 2**31, 2**31 + 1, 2**61, 2**62, 2**63 - 1])
odd_lots = st.sampled_from([0, 40, 2**31, 2**62, 2**62 + 1, 2**63 - 1])
odd_amounts = st.sampled_from([1, 0, -1, 2**61, 2**62, 2**62 - 1, 2**63 - 1])
client_order_ids = st.none() | st.sampled_from(["a", "b", "c", "d"])
modes = st.none() | st.sampled_from(SELF_TRADE_MODES)
times_in_force = st.sampled_from(["gtc", "gtc", "gtc", "ioc", "fok"])
which = st.integers(0, 1000)
fee_rates = st.sampled_from([0, 1, 300_000, 999_999])
instrument_values = st.fixed_dictionaries(
    {},
    optional={
        "maker_fee": fee_rates,
        "taker_fee": fee_rates,
        "min_quantity": st.sampled_from(["1", "1", "2"]),
        "max_quantity": st.sampled_from([str(2**62), "50", "1"]),
        "min_notional": st.sampled_from(["0", "0", "4"]),
        "price_band": st.sampled_from([0, 1, 400_000, 999_999]),
        "max_open_orders": st.sampled_from([0, 3, 8]),
    },
).filter(bool)


class BothExchanges(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.both = Both()
        self.do, self.reference = self.both.do, self.both.reference
        self.references = 0
        for asset, decimals in DECIMALS.items():
            self.do("asset", symbol=asset, decimals=decimals)
        for instrument in INSTRUMENTS:
            self.do("instrument", **{**USUAL, **instrument})
        for account in ACCOUNTS:
            for asset, amount in (("A", "500"), ("B", "500"), ("C", "90")):
                self.do("deposit", account=account, asset=asset, amount=amount, reference=asset)

    def write(self, asset: str, units: int) -> str:
        return Unit.of_decimals(DECIMALS[asset]).text(units)

    def order(self, **fields: object) -> None:
        given = {name: str(value) if type(value) is int else value for name, value in fields.items()}
        self.do("order", **{**given, "account": fields["account"]})

    def named(self, choice: int, by_client_order_id: bool) -> dict[str, object]:
        """A reference to an order: usually open, sometimes of another account or instrument, or closed."""
        orders = list(self.reference.open.values())
        order = orders[choice % len(orders)]
        account = order.account if choice % 11 else 1
        symbol = order.instrument.symbol if choice % 13 else "B-A"
        if by_client_order_id and order.client_order_id:
            return {"account": account, "symbol": symbol, "client_order_id": order.client_order_id}
        return {"account": account, "symbol": symbol, "order_id": order.order_id if choice % 17 else choice + 1}

    # Two rules for limit orders, because most commands are orders; the second one crosses more often.

    @rule(account=makers, symbol=symbols, side=sides, price=near_prices, quantity=small_lots, mode=modes)
    def rest(self, side: str, price: int, mode: str | None, **fields: object) -> None:
        price += 3 if side == "sell" else 0
        self.order(order_type="limit", side=side, price=price, self_trade_prevention=mode, **fields)

    @rule(
        account=takers,
        symbol=symbols,
        side=sides,
        price=near_prices,
        quantity=small_lots,
        time_in_force=times_in_force,
        post_only=st.booleans(),
        mode=modes,
        client_order_id=client_order_ids,
        requires_previous=st.sampled_from([None, None, False, True]),
    )
    def limit_order(self, mode: str | None, post_only: bool, time_in_force: str, **fields: object) -> None:
        fields |= {"post_only": post_only and time_in_force == "gtc", "time_in_force": time_in_force}
        self.order(order_type="limit", self_trade_prevention=mode, **fields)

    @rule(
        account=accounts,
        symbol=symbols,
        side=sides,
        price=near_prices | odd_prices,
        quantity=small_lots | odd_lots,
        time_in_force=times_in_force,
    )
    def odd_limit_order(self, **fields: object) -> None:
        self.order(order_type="limit", **fields)

    @rule(account=takers, symbol=symbols, side=sides, quantity=small_lots | odd_lots, mode=modes)
    def market_order(self, mode: str | None, **fields: object) -> None:
        self.order(order_type="market", self_trade_prevention=mode, **fields)

    @rule(
        account=takers,
        symbol=symbols,
        side=sides,
        amount=st.integers(1, 30) | odd_amounts,
        mode=modes,
        client_order_id=client_order_ids,
    )
    def market_order_by_quote(self, symbol: str, amount: int, mode: str | None, **fields: object) -> None:
        amount *= 10**16 if symbol == "A-C" and amount < 30 else 1
        quote = symbol.partition("-")[2]
        fields |= {"symbol": symbol, "quote_quantity": self.write(quote, amount), "self_trade_prevention": mode}
        self.order(order_type="market", **fields)

    @rule(
        account=makers,
        symbol=symbols,
        side=sides,
        price=near_prices,
        quantity=st.integers(1, 12),
        visible_quantity=st.integers(1, 4),
        post_only=st.booleans(),
    )
    def iceberg(self, **fields: object) -> None:
        self.order(order_type="limit", **fields)

    @rule(
        account=takers,
        symbol=symbols,
        side=sides,
        order_type=st.sampled_from(TRIGGER_TYPES),
        trigger_price=near_prices | near_prices | odd_prices,
        price=near_prices,
        quantity=small_lots,
        time_in_force=times_in_force,
        mode=modes,
        client_order_id=client_order_ids,
    )
    def trigger_order(
        self, order_type: str, price: int, time_in_force: str, mode: str | None, **fields: object
    ) -> None:
        if order_type in LIMIT_TYPES:
            fields |= {"price": price, "time_in_force": time_in_force}
        self.order(order_type=order_type, self_trade_prevention=mode, **fields)

    @rule(
        account=makers,
        symbol=symbols,
        side=sides,
        price=near_prices,
        trigger_price=near_prices,
        stop_price=st.none() | near_prices,
        quantity=small_lots,
        stop_time_in_force=times_in_force,
        mode=modes,
        client_order_id=client_order_ids,
        stop_client_order_id=client_order_ids,
        requires_previous=st.sampled_from([None, False, True]),
    )
    def order_list(
        self, account: int, stop_price: int | None, stop_time_in_force: str, mode: str | None, **fields: object
    ) -> None:
        given = {name: str(value) if type(value) is int else value for name, value in fields.items()}
        if stop_price is not None:
            given |= {"stop_price": str(stop_price), "stop_time_in_force": stop_time_in_force}
        self.do("oco", account=account, self_trade_prevention=mode, **given)

    @precondition(lambda self: self.reference.open)
    @rule(choice=which, by_client_order_id=st.booleans())
    def cancel(self, choice: int, by_client_order_id: bool) -> None:
        self.do("cancel", **self.named(choice, by_client_order_id))

    @precondition(lambda self: len(self.reference.open) > 4)
    @rule(account=accounts, symbol=st.none() | symbols)
    def cancel_all(self, **fields: object) -> None:
        self.do("cancel_all", **fields)

    @precondition(lambda self: self.reference.open)
    @rule(
        choice=which,
        by_client_order_id=st.booleans(),
        price=near_prices | near_prices | odd_prices,
        quantity=small_lots | small_lots | odd_lots,
    )
    def replace(self, choice: int, by_client_order_id: bool, price: int, quantity: int) -> None:
        self.do("replace", **self.named(choice, by_client_order_id), price=str(price), quantity=str(quantity))

    @precondition(lambda self: self.reference.open)
    @rule(choice=which, change=st.integers(-5, 2), is_total=st.booleans(), new_client_order_id=client_order_ids)
    def replace_the_quantity(self, choice: int, change: int, is_total: bool, **fields: object) -> None:
        orders = list(self.reference.open.values())
        order = orders[choice % len(orders)]
        named = {"account": order.account, "symbol": order.instrument.symbol, "order_id": order.order_id}
        quantity = max(1, order.open_lots + change)
        quantities = {"total_quantity": str(order.traded_lots + quantity)} if is_total else {"quantity": str(quantity)}
        price = str(order.price or 1)  # a waiting order may have none; it is not replaceable
        self.do("replace", **named, price=price, **quantities, **fields)

    @rule(
        command=st.sampled_from(["deposit", "deposit", "withdraw"]),
        account=accounts,
        asset=assets,
        amount=st.integers(1, 200) | odd_amounts,
        again=st.integers(0, 9),
    )
    def transfer(self, command: str, asset: str, amount: int, again: int, **fields: object) -> None:
        self.references += again != 7  # 7: the reference of the transfer before
        self.do(command, asset=asset, amount=self.write(asset, amount), reference=f"t{self.references}", **fields)

    @rule(symbol=symbols, status=st.sampled_from(STATUSES))
    def status(self, symbol: str, status: str) -> None:
        """Sets an instrument's status; opens a closed one if there is any."""
        closed = [symbol for symbol, status in self.reference.status.items() if status != "trading"]
        wanted = (closed[0], "trading") if closed else (symbol, status)
        self.do("instrument_status", symbol=wanted[0], status=wanted[1])

    @rule(symbol=symbols, values=instrument_values)
    def update_instrument(self, symbol: str, values: dict[str, Any]) -> None:
        self.do("instrument_update", symbol=symbol, **values)

    @rule(account=accounts, status=st.sampled_from(ACCOUNT_STATUSES))
    def account_status(self, account: int, status: str) -> None:
        """Restricts an account; frees a restricted one if there is any."""
        statuses = self.reference.state.accounts.statuses
        restricted = [account for account in statuses if statuses[account] != "active"]
        wanted = (restricted[0], "active") if restricted else (account, status)
        self.do("account_status", account=wanted[0], status=wanted[1])

    @rule(account=accounts, symbol=st.none() | symbols, rates=st.none() | st.tuples(fee_rates, fee_rates))
    def account_fees(self, account: int, symbol: str | None, rates: tuple[int, int] | None) -> None:
        maker_fee, taker_fee = rates or (None, None)
        self.do("account_fees", account=account, symbol=symbol, maker_fee=maker_fee, taker_fee=taker_fee)

    @rule()
    def restart(self) -> None:
        self.both.restart()

    @invariant()
    def both_hold_the_same(self) -> None:
        self.both.check()


TestBothExchanges = BothExchanges.TestCase
TestBothExchanges.settings = settings(
    max_examples=70,
    stateful_step_count=60,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
