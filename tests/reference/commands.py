"""Commands that the edge passes to the engine: all fields have the right type, in ticks, lots and smallest units."""

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Asset:
    symbol: str
    decimals: int

    @property
    def unit(self) -> Fraction:
        return Fraction(1, 10**self.decimals)


@dataclass(eq=False)
class Instrument:
    """`lot_units`: base units of a lot; `quote_unit`: quote units of a lot at one tick; quantities in lots.

    Fees and `price_band` are in ppm. `instrument_update` changes the fields from `min_quantity` on in place, so that
    open orders see the change. No band: 0; no limit of open orders: 0.
    """

    symbol: str
    base: Asset
    quote: Asset
    tick_size: Fraction
    lot_size: Fraction
    lot_units: int
    quote_unit: int
    min_quantity: int
    max_quantity: int
    min_notional: int
    maker_fee: int
    taker_fee: int
    price_band: int
    max_open_orders: int


@dataclass(frozen=True)
class AddAsset:
    asset: Asset


@dataclass(frozen=True)
class AddInstrument:
    instrument: Instrument


@dataclass(frozen=True)
class SetStatus:
    symbol: str
    status: str


@dataclass(frozen=True)
class UpdateInstrument:
    """`changes`: new values by the name of a field of `Instrument`."""

    symbol: str
    changes: dict[str, int]


@dataclass(frozen=True)
class SetAccountStatus:
    account: int
    status: str


@dataclass(frozen=True)
class SetAccountFees:
    """`symbol` None: for all instruments; `rates` (maker, taker) None: the account's own rates are taken away."""

    account: int
    symbol: str | None
    rates: tuple[int, int] | None


@dataclass(frozen=True)
class Deposit:
    account: int
    asset: Asset
    amount: int
    reference: str


@dataclass(frozen=True)
class Withdraw:
    account: int
    asset: Asset
    amount: int
    reference: str


@dataclass(frozen=True)
class PlaceOrder:
    """A field that the type does not have is None; exactly one of `quantity` (lots) and `quote_quantity` is given."""

    account: int
    instrument: Instrument
    side: str
    order_type: str
    price: int | None
    trigger_price: int | None
    quantity: int | None
    quote_quantity: int | None
    visible_quantity: int | None
    time_in_force: str
    post_only: bool
    self_trade_prevention: str
    client_order_id: str | None
    requires_previous: bool


@dataclass(frozen=True)
class PlaceOco:
    """One cancels the other: a post-only limit order at `price`, and a stop order with `stop_…`."""

    account: int
    instrument: Instrument
    side: str
    quantity: int
    price: int
    client_order_id: str | None
    trigger_price: int
    stop_price: int | None
    stop_time_in_force: str
    stop_client_order_id: str | None
    self_trade_prevention: str
    requires_previous: bool


@dataclass(frozen=True)
class Cancel:
    account: int
    symbol: str
    order_id: int | None
    client_order_id: str | None


@dataclass(frozen=True)
class CancelAll:
    account: int
    symbol: str | None


@dataclass(frozen=True)
class Replace:
    """`is_total`: `quantity` counts what has traded, otherwise it is the new open quantity. Both in lots."""

    account: int
    symbol: str
    order_id: int | None
    client_order_id: str | None
    price: int
    quantity: int
    is_total: bool
    new_client_order_id: str | None


Command = (
    AddAsset
    | AddInstrument
    | SetStatus
    | UpdateInstrument
    | SetAccountStatus
    | SetAccountFees
    | Deposit
    | Withdraw
    | PlaceOrder
    | PlaceOco
    | Cancel
    | CancelAll
    | Replace
)
