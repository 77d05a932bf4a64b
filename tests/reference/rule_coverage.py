"""Counts which rules a stream has reached: each reason with each kind of order, and each pair of features."""

from collections import Counter
from itertools import combinations
from typing import Any

from tests.reference.forms import Event
from tests.reference.state import State
from tests.reference.words import ORDER_TYPES, TRIGGER_TYPES

TRIGGERED_LIMITS = ("stop_loss_limit", "take_profit_limit")
TRIGGERED_MARKETS = ("stop_loss", "take_profit")
MARKETS = ("market by quantity", "market by quote")
ORDERS = ("limit", *MARKETS, *TRIGGER_TYPES)
LEGS = ("oco limit", "oco stop_loss", "oco stop_loss_limit")
REFUSED = (*ORDERS, "oco", "replace", "cancel")
CANCELLED = (*ORDERS, *LEGS)

# For each reason the kinds that can have it, and the rule that forbids the others.
REFUSALS: dict[str, tuple[tuple[str, ...], str]] = {
    "edge malformed": (REFUSED, ""),
    "edge unknown_symbol": (REFUSED, ""),
    "edge invalid_side": ((*ORDERS, "oco"), "names an open order, so it has no side"),
    "edge invalid_time_in_force": ((*ORDERS, "oco"), "names an open order, so it has no time_in_force"),
    "edge invalid_price": ((*ORDERS, "oco", "replace"), "has no price"),
    "edge invalid_quantity": ((*ORDERS, "oco", "replace"), "has no quantity"),
    "previous_refused": ((*ORDERS, "oco"), "does not have requires_previous"),
    "unknown_order": (("replace", "cancel"), "names no open order"),
    "not_replaceable": (("replace",), "replaces nothing"),
    "account_restricted": ((*ORDERS, "oco", "replace"), "is taken whatever the account's status"),
    "instrument_halted": (REFUSED, ""),
    "invalid_price": (("limit", *TRIGGER_TYPES, "oco", "replace"), "has no price"),
    "invalid_quantity": ((*ORDERS, "oco", "replace"), "has no quantity"),
    "notional_overflow": ((*ORDERS, "oco", "replace"), "has no quantity"),
    "below_min_notional": (
        ("limit", "market by quote", *TRIGGER_TYPES, "oco", "replace"),
        "a market order by quantity is not judged, a cancel has no quantity",
    ),
    "price_out_of_band": (("limit", "oco", "replace"), "only limit prices are judged by the band"),
    "duplicate_client_order_id": ((*ORDERS, "oco", "replace"), "gives no name"),
    "too_many_orders": (("limit", *TRIGGER_TYPES, "oco"), "adds no order that can rest"),
    "would_trigger_immediately": ((*TRIGGER_TYPES, "oco"), "has no trigger"),
    "insufficient_balance": ((*ORDERS, "oco", "replace"), "locks nothing"),
    "post_only_would_match": (("limit", "oco", "replace"), "is never post-only"),
    "quote_quantity_too_small": (("market by quote",), "has no quote_quantity"),
}
WAITING = (*TRIGGER_TYPES, "oco stop_loss", "oco stop_loss_limit")
WITHOUT_PRICE = (*MARKETS, *TRIGGERED_MARKETS, "oco stop_loss")
CANCELLATIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "user": (("limit", *TRIGGER_TYPES, *LEGS), "a market order is never open"),
    "ioc": (("limit", *TRIGGERED_LIMITS, "oco stop_loss_limit"), "has no price, or is always gtc"),
    "fok_not_fillable": (("limit", *TRIGGERED_LIMITS, "oco stop_loss_limit"), "has no price, or is always gtc"),
    "no_liquidity": (WITHOUT_PRICE, "an order with a price rests, or ends by its time_in_force"),
    "self_trade": (CANCELLED, ""),
    "price_band": ((*MARKETS, *WAITING), "a limit order that was not triggered may trade outside the band"),
    "oco": (LEGS, "is no leg of an oco"),
    "insufficient_balance": (
        (*TRIGGERED_MARKETS, "oco stop_loss"),
        "is judged before it is accepted; once triggered, an order with a price keeps its lock",
    ),
    "account_restricted": (WAITING, "is judged before it is accepted"),
    "quote_quantity_used": (("market by quote",), "has no quote_quantity"),
    "work_limit": ((*ORDERS, "oco stop_loss", "oco stop_loss_limit"), "is post-only, so it meets nobody"),
}
FEATURES = (
    *("trigger", "iceberg", "oco", "band", "freeze", "fees", "requires_previous", "self_trade", "replace"),
    *("quote_quantity", "work_limit"),
)


class RuleCoverage:
    """Reads each command with its events, in order, of one stream after the other."""

    def __init__(self) -> None:
        self.refusals: Counter[tuple[str, str]] = Counter()  # by reason and kind
        self.cancellations: Counter[tuple[str, str]] = Counter()
        self.pairs: Counter[tuple[str, str]] = Counter()  # of features that meet in one command, in order of FEATURES
        self.kinds: dict[int, str] = {}  # by order_id, as accepted
        self.marks: dict[int, set[str]] = {}  # features of each order so far

    def begin_stream(self) -> None:
        """Forgets the orders, not the counts."""
        self.kinds, self.marks = {}, {}

    def read(self, command: Any, events: list[Event], state: State) -> None:
        """`state`: as it is after the command."""
        features = _features_of_command(command)
        for event in events:
            features |= self._read_event(command, event)
            if event["event"] == "trade":
                features |= self._features_of_trade(event, state)
        self.pairs.update(combinations([feature for feature in FEATURES if feature in features], 2))

    def _read_event(self, command: Any, event: Event) -> set[str]:
        """The features of this event and of the orders that it names."""
        found: set[str] = set()
        kind, reason = event["event"], event.get("reason", "")
        if kind == "rejected":
            if event["sequence"] is None:
                reason = f"edge {reason}"
            self.refusals[reason, _kind_of_command(command)] += 1
            found |= {"price_out_of_band": {"band"}, "account_restricted": {"freeze"}}.get(reason, set())
        if kind == "order_accepted":
            self.kinds[event["order_id"]] = _kind_of_order(event)
            self.marks[event["order_id"]] = _marks_of_order(event)
        if kind == "order_triggered":
            self.marks[event["order_id"]].add("trigger")
        if kind == "order_replaced":
            self.marks[event["order_id"]].add("replace")
        if kind == "order_cancelled":
            self.cancellations[reason, self.kinds[event["order_id"]]] += 1
            own = {"price_band": "band", "account_restricted": "freeze", "self_trade": "self_trade"}
            found |= {own[reason]} if reason in own else {reason} & {"work_limit"}
        for name in ("order_id", "maker_order_id", "taker_order_id"):
            found |= self.marks.get(event.get(name, 0), set())
        return found

    def _features_of_trade(self, event: Event, state: State) -> set[str]:
        accounts, parties = state.accounts, (event["buyer"], event["seller"])
        found = {"freeze"} if any(accounts.status(party) != "active" for party in parties) else set()
        keys = {(party, symbol) for party in parties for symbol in (None, event["symbol"])}
        if keys & accounts.own_rates.keys():
            found.add("fees")
        is_banded = self.kinds[event["taker_order_id"]] != "limit" and state.markets[event["symbol"]].band
        return found | ({"band"} if is_banded else set())

    # What is missing, and the tables

    def wrong_cells(self) -> list[str]:
        """Cells that were not hit though they can be, and cells that were hit though a rule forbids them."""
        return [
            *_wrong_cells("refused", REFUSALS, REFUSED, self.refusals),
            *_wrong_cells("cancelled", CANCELLATIONS, CANCELLED, self.cancellations),
        ]

    def pairs_that_never_met(self) -> list[tuple[str, str]]:
        return [pair for pair in combinations(FEATURES, 2) if not self.pairs[pair]]

    def tables(self) -> str:
        return "\n".join(
            [
                *_table("refused", REFUSALS, REFUSED, self.refusals),
                "",
                *_table("cancelled", CANCELLATIONS, CANCELLED, self.cancellations),
                "",
                *(f"{first} with {second}: {self.pairs[first, second]}" for first, second in combinations(FEATURES, 2)),
            ]
        )


def _features_of_command(command: Any) -> set[str]:
    if not isinstance(command, dict):
        return set()
    given = {name for name, value in command.items() if value is not None}
    return {
        feature
        for feature, applies in (
            ("iceberg", "visible_quantity" in given),
            ("trigger", "trigger_price" in given),
            ("oco", command.get("command") == "oco"),
            ("replace", command.get("command") == "replace"),
            ("requires_previous", command.get("requires_previous") is True),
            ("quote_quantity", "quote_quantity" in given),
        )
        if applies
    }


def _kind_of_command(command: Any) -> str:
    if not isinstance(command, dict) or command.get("command") != "order":
        return str(command.get("command")) if isinstance(command, dict) else ""
    order_type = command.get("order_type")
    if order_type == "market":
        return MARKETS[command.get("quote_quantity") is not None]
    return order_type if order_type in ORDER_TYPES else ""


def _kind_of_order(accepted: Event) -> str:
    if accepted["order_list_id"] is not None:
        return f"oco {accepted['order_type']}"
    return _kind_of_command({**accepted, "command": "order"})


def _marks_of_order(accepted: Event) -> set[str]:
    names = {"visible_quantity": "iceberg", "order_list_id": "oco", "quote_quantity": "quote_quantity"}
    return {mark for name, mark in names.items() if accepted[name] is not None}


Rules = dict[str, tuple[tuple[str, ...], str]]


def _wrong_cells(outcome: str, rules: Rules, kinds: tuple[str, ...], hits: Counter[tuple[str, str]]) -> list[str]:
    wrong = []
    for reason, (possible, rule) in rules.items():
        for kind in kinds:
            if (kind in possible) != bool(hits[reason, kind]):
                fault = "was never" if kind in possible else f"{rule}, but was"
                wrong.append(f"{kind} {fault} {outcome}: {reason}")
    return wrong


def _table(outcome: str, rules: Rules, kinds: tuple[str, ...], hits: Counter[tuple[str, str]]) -> list[str]:
    lines = [" | ".join((outcome, *kinds, "forbidden because it …"))]
    for reason, (possible, rule) in rules.items():
        cells = [str(hits[reason, kind]) if kind in possible else "-" for kind in kinds]
        lines.append(" | ".join((reason, *cells, rule)))
    return lines
