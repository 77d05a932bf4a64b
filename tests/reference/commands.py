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


@dataclass(frozen=True)
class Instrument:
    """`lot_units`: base units of a lot; `quote_unit`: quote units of a lot at one tick; quantities in lots."""

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
    """`price` is None for a market order; exactly one of `quantity` (lots) and `quote_quantity` (units) is given."""

    account: int
    instrument: Instrument
    side: str
    order_type: str
    price: int | None
    quantity: int | None
    quote_quantity: int | None
    time_in_force: str
    post_only: bool
    self_trade_prevention: str
    client_order_id: str | None


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
    account: int
    symbol: str
    order_id: int | None
    client_order_id: str | None
    price: int
    quantity: int


Command = AddAsset | AddInstrument | SetStatus | Deposit | Withdraw | PlaceOrder | Cancel | CancelAll | Replace
