"""The table of actions: their fields, who may ask for them, whether two persons are needed, and the key that they need.

docs/back-office-actions.md shows it; a test compares the two.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from django.conf import settings

from matching.transport.key_register import KeyRole

ASK_ORDERS = "back_office.ask_orders"
ASK_MARKET = "back_office.ask_market"
ASK_ACCOUNTS = "back_office.ask_accounts"
ASK_FEES = "back_office.ask_fees"
ASK_MONEY = "back_office.ask_money"
ASK_ENGINES = "back_office.ask_engines"
DECIDE = "back_office.decide_request"


class Kind(StrEnum):
    CANCEL_ORDER = "cancel_order"
    CANCEL_ALL = "cancel_all"
    INSTRUMENT_STATUS = "instrument_status"
    INSTRUMENT_VALUES = "instrument_values"
    ACCOUNT_STATUS = "account_status"
    ACCOUNT_FEES = "account_fees"
    NEW_ASSET = "new_asset"
    NEW_INSTRUMENT = "new_instrument"
    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"
    CORRECT = "correct"
    PROMOTE_ENGINE = "promote_engine"
    REBUILD_PROJECTIONS = "rebuild_projections"


class Form(StrEnum):
    """How a field is typed."""

    WHOLE = "whole number"
    DECIMAL = "decimal"
    SYMBOL = "symbol"
    TEXT = "text"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Field:
    name: str  # as in the engine's command
    label: str
    form: Form
    is_required: bool = True
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()  # value and label


@dataclass(frozen=True, slots=True)
class ActionKind:
    title: str
    permission: str
    two_persons: bool  # always; the setting TWO_PERSON_ACTIONS adds other kinds
    key: KeyRole | None  # None: settlement carries it out
    fields: tuple[Field, ...]


_ACCOUNT = Field("account", "Account", Form.WHOLE)
_SYMBOL = Field("symbol", "Instrument", Form.SYMBOL)
_ONE_OR_ALL = Field("symbol", "Instrument", Form.SYMBOL, is_required=False, hint="empty: all")
_MONEY = (
    _ACCOUNT,
    Field("asset", "Asset", Form.SYMBOL),
    Field("amount", "Amount", Form.DECIMAL),
    Field("reference", "Reference", Form.TEXT, hint="1 to 64 characters; the engine takes each one once an account"),
)
_VALUES = (
    Field("maker_fee", "Maker fee", Form.WHOLE, hint="parts per million"),
    Field("taker_fee", "Taker fee", Form.WHOLE, hint="parts per million"),
    Field("min_quantity", "Smallest quantity", Form.DECIMAL),
    Field("max_quantity", "Largest quantity", Form.DECIMAL),
    Field("min_notional", "Smallest notional", Form.DECIMAL),
)
_OPTIONAL_VALUES = (
    Field("price_band", "Price band", Form.WHOLE, is_required=False, hint="parts per million; 0: none"),
    Field("max_open_orders", "Open orders an account", Form.WHOLE, is_required=False, hint="0: no limit"),
)
_INSTRUMENT_STATUSES = (
    ("halted", "halted: no orders, no cancels"),
    ("cancel_only", "cancel only: no new orders"),
    ("trading", "trading"),
)
_PROMOTIONS = (
    ("if_safe", "only if its leader is gone and it has all blocks"),
    ("forced", "in any case: blocks that it lacks are lost"),
)
_ACCOUNT_STATUSES = (
    ("no_trading", "restricted: no orders"),
    ("frozen", "frozen: no orders, no withdrawals"),
    ("active", "released: no restriction"),
)


def _optional(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    return tuple(Field(one.name, one.label, one.form, is_required=False, hint=one.hint) for one in fields)


TABLE: dict[Kind, ActionKind] = {
    Kind.CANCEL_ORDER: ActionKind(
        "Cancel an order", ASK_ORDERS, False, KeyRole.GATEWAY, (Field("order_id", "Order", Form.WHOLE),)
    ),
    Kind.CANCEL_ALL: ActionKind(
        "Cancel all orders of an account", ASK_ORDERS, False, KeyRole.GATEWAY, (_ACCOUNT, _ONE_OR_ALL)
    ),
    Kind.INSTRUMENT_STATUS: ActionKind(
        "Change the status of an instrument",
        ASK_MARKET,
        False,
        KeyRole.OPERATOR,
        (_SYMBOL, Field("status", "Status", Form.CHOICE, choices=_INSTRUMENT_STATUSES)),
    ),
    Kind.INSTRUMENT_VALUES: ActionKind(
        "Change fees and limits of an instrument",
        ASK_MARKET,
        False,
        KeyRole.OPERATOR,
        (_SYMBOL, *_optional(_VALUES), *_OPTIONAL_VALUES),
    ),
    Kind.ACCOUNT_STATUS: ActionKind(
        "Restrict, freeze or release an account",
        ASK_ACCOUNTS,
        False,
        KeyRole.OPERATOR,
        (_ACCOUNT, Field("status", "Status", Form.CHOICE, choices=_ACCOUNT_STATUSES)),
    ),
    Kind.ACCOUNT_FEES: ActionKind(
        "Change the fees of an account",
        ASK_FEES,
        False,
        KeyRole.OPERATOR,
        (
            _ACCOUNT,
            _ONE_OR_ALL,
            Field("maker_fee", "Maker fee", Form.WHOLE, is_required=False, hint="parts per million"),
            Field("taker_fee", "Taker fee", Form.WHOLE, is_required=False, hint="both empty: no fees of its own"),
        ),
    ),
    Kind.NEW_ASSET: ActionKind(
        "Add an asset",
        ASK_MARKET,
        False,
        KeyRole.OPERATOR,
        (
            Field("symbol", "Symbol", Form.SYMBOL),
            Field("decimals", "Decimal places", Form.WHOLE, hint="0 to 18; with 18 at most 4.6 units can exist"),
        ),
    ),
    Kind.NEW_INSTRUMENT: ActionKind(
        "Add an instrument",
        ASK_MARKET,
        False,
        KeyRole.OPERATOR,
        (
            Field("symbol", "Symbol", Form.SYMBOL),
            Field("base", "Base asset", Form.SYMBOL),
            Field("quote", "Quote asset", Form.SYMBOL),
            Field("tick_size", "Tick size", Form.DECIMAL),
            Field("lot_size", "Lot size", Form.DECIMAL),
            *_VALUES,
            *_OPTIONAL_VALUES,
        ),
    ),
    Kind.DEPOSIT: ActionKind("Deposit", ASK_MONEY, True, KeyRole.TREASURY, _MONEY),
    Kind.WITHDRAW: ActionKind("Withdraw", ASK_MONEY, True, KeyRole.TREASURY, _MONEY),
    Kind.CORRECT: ActionKind(
        "Correct a balance",
        ASK_MONEY,
        True,
        KeyRole.TREASURY,
        (Field("direction", "Direction", Form.CHOICE, choices=(("credit", "credit"), ("debit", "debit"))), *_MONEY),
    ),
    Kind.PROMOTE_ENGINE: ActionKind(
        "Promote a follower to leader",
        ASK_ENGINES,
        True,
        KeyRole.OPERATOR,
        (
            Field("address", "Command address", Form.TEXT, hint="of the follower, such as tcp://10.0.0.7:5801"),
            Field("promotion", "Promotion", Form.CHOICE, choices=_PROMOTIONS),
        ),
    ),
    Kind.REBUILD_PROJECTIONS: ActionKind(
        "Rebuild projections",
        ASK_ENGINES,
        False,
        None,
        (Field("from_block", "From block", Form.WHOLE, is_required=False, hint="empty: all blocks"),),
    ),
}


def of(name: str) -> Kind | None:
    """The kind of that name."""
    return Kind(name) if name in list(Kind) else None


def needs_two_persons(kind: Kind, further: Collection[str] | None = None) -> bool:
    """`further`: kinds that need two persons besides those of the table; None: those of the settings."""
    others = settings.TWO_PERSON_ACTIONS if further is None else further
    return TABLE[kind].two_persons or kind in others
