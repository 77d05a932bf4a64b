"""Reference data: the existing assets and instruments, and their ticks, lots and units.

The engine and every edge have a registry. The engine's is authoritative, built from the definitions in its blocks; an
edge's is a copy. A definition is a dict in the form of docs/semantics.md, section 3, which `asset_from` and
`instrument_from` validate.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from matching.core.codes import PPM, CommandKind, EventKind, InstrumentStatus, InstrumentValue, Reason, name_of
from matching.core.decimals import INT64_MAX, DoesNotFit, NotPlain, Unit, plain, split
from matching.core.errors import BadDefinition

_SYMBOL = re.compile(r"[A-Z0-9._-]{1,32}", re.ASCII)
_MAX_DECIMALS = 18
_MAX_OPEN_ORDERS = 1_000_000
_OPTIONAL = ("price_band", "max_open_orders")
REGISTRY_EVENTS = (
    int(EventKind.ASSET_ADDED),
    int(EventKind.INSTRUMENT_ADDED),
    int(EventKind.INSTRUMENT_STATUS_CHANGED),
    int(EventKind.INSTRUMENT_UPDATED),
)
"""The kinds of events that change a registry."""
_Counted = TypeVar("_Counted")


@dataclass(frozen=True, slots=True)
class Asset:
    id: int
    symbol: str
    unit: Unit

    @property
    def decimals(self) -> int:
        return self.unit.scale

    def definition(self) -> dict[str, Any]:
        """The command that defines this asset."""
        return {"command": "asset", "symbol": self.symbol, "decimals": self.decimals}


@dataclass(frozen=True, slots=True)
class Instrument:
    """Quantities in lots, min_notional in quote units, fees and price_band in ppm; price_band and max_open_orders can
    be 0 for none."""

    id: int
    symbol: str
    base: Asset
    quote: Asset
    tick: Unit
    lot: Unit
    lot_units: int
    quote_unit: int
    min_quantity: int
    max_quantity: int
    min_notional: int
    maker_fee: int
    taker_fee: int
    price_band: int = 0
    max_open_orders: int = 0

    def definition(self) -> dict[str, Any]:
        """The command that defines this instrument, with decimals in their shortest form and without zeros of optional
        fields: those of earlier versions had none."""
        optional = {name: getattr(self, name) for name in _OPTIONAL}
        return {
            "command": "instrument",
            "symbol": self.symbol,
            "base": self.base.symbol,
            "quote": self.quote.symbol,
            "tick_size": self.tick.text(1),
            "lot_size": self.lot.text(1),
            "min_quantity": self.lot.text(self.min_quantity),
            "max_quantity": self.lot.text(self.max_quantity),
            "min_notional": self.quote.unit.text(self.min_notional),
            "maker_fee": self.maker_fee,
            "taker_fee": self.taker_fee,
            **{name: value for name, value in optional.items() if value},
        }

    def value(self, name: str, given: object) -> int:
        """One of `InstrumentValue`, judged alone, as an integer of the unit above. Raises BadDefinition."""
        return _value(name, given, self.symbol, self.lot, self.quote.unit)


class Registry:
    """Assets and instruments by id and by symbol, and each instrument's status."""

    def __init__(self) -> None:
        self.assets: list[Asset] = []
        self.instruments: list[Instrument] = []
        self.statuses: list[InstrumentStatus] = []
        self.asset_by_symbol: dict[str, Asset] = {}
        self.instrument_by_symbol: dict[str, Instrument] = {}

    @classmethod
    def from_definitions(cls, definitions: Iterable[tuple[int, str]]) -> "Registry":
        """A new registry with (kind, text) of each command on reference data applied, in order. Raises as `apply`."""
        registry = cls()
        for kind, text in definitions:
            registry.apply(kind, text)
        return registry

    def asset_from(self, definition: Mapping[str, Any]) -> Asset:
        """The asset that `definition` would add. Raises BadDefinition."""
        symbol, decimals = _symbol(definition), definition.get("decimals")
        if type(decimals) is not int or not 0 <= decimals <= _MAX_DECIMALS:
            raise BadDefinition(f"decimals of asset {symbol} must be a whole number from 0 to {_MAX_DECIMALS}.")
        return Asset(len(self.assets), symbol, Unit.of_decimals(decimals))

    def instrument_from(self, definition: Mapping[str, Any]) -> Instrument:
        """The instrument that `definition` would add. Raises BadDefinition, or KeyError naming an unknown asset."""
        symbol = _symbol(definition)
        base, quote = (self._asset_named(definition, field) for field in ("base", "quote"))
        if base.id == quote.id:
            raise BadDefinition(f"base and quote of instrument {symbol} must be two different assets.")
        tick, lot = (_counted(symbol, Unit.parse, definition.get(name)) for name in ("tick_size", "lot_size"))
        values = {
            name: _value(name, definition.get(name), symbol, lot, quote.unit)
            for name in map(name_of, InstrumentValue)
            if name not in _OPTIONAL or definition.get(name) is not None
        }
        if values["min_quantity"] > values["max_quantity"]:
            raise BadDefinition(f"Instrument {symbol} needs min_quantity <= max_quantity.")
        lot_units = _whole(lot.mantissa, base.decimals - lot.scale)
        quote_unit = _whole(tick.mantissa * lot.mantissa, quote.decimals - tick.scale - lot.scale)
        if not lot_units or not quote_unit:
            raise BadDefinition(
                f"Instrument {symbol}: one lot, and one lot at a price of one tick, must be a whole number of units of "
                f"{base.symbol} and {quote.symbol}."
            )
        return Instrument(
            id=len(self.instruments),
            symbol=symbol,
            base=base,
            quote=quote,
            tick=tick,
            lot=lot,
            lot_units=lot_units,
            quote_unit=quote_unit,
            **values,
        )

    def _asset_named(self, definition: Mapping[str, Any], field: str) -> Asset:
        if not isinstance(definition.get(field), str):
            raise BadDefinition(f"{field} of an instrument must be the symbol of an asset.")
        return self.asset_by_symbol[definition[field]]

    def add_asset(self, asset: Asset) -> None:
        self.assets.append(asset)
        self.asset_by_symbol[asset.symbol] = asset

    def add_instrument(self, instrument: Instrument) -> None:
        self.instruments.append(instrument)
        self.statuses.append(InstrumentStatus.TRADING)
        self.instrument_by_symbol[instrument.symbol] = instrument

    def change_instrument(self, identity: int, values: Mapping[str, Any]) -> None:
        """Gives an instrument new values, by the names of `InstrumentValue`; the others stay."""
        instrument = replace(self.instruments[identity], **values)
        self.instruments[identity] = self.instrument_by_symbol[instrument.symbol] = instrument

    def apply(self, kind: int, text: str) -> tuple[int, Reason]:
        """Applies a command on reference data, or an instrument_update that an engine has accepted.

        `text` is the definition that `canonical` wrote.

        Returns the id of the asset or instrument and Reason.NONE, or Reason.ALREADY_EXISTS with nothing changed.
        Raises BadDefinition or KeyError for a definition that a correct edge refuses.
        """
        definition = json.loads(text)
        if kind == CommandKind.ASSET:
            if definition["symbol"] in self.asset_by_symbol:
                return self.asset_by_symbol[definition["symbol"]].id, Reason.ALREADY_EXISTS
            asset = self.asset_from(definition)
            self.add_asset(asset)
            return asset.id, Reason.NONE
        if kind == CommandKind.INSTRUMENT:
            if definition["symbol"] in self.instrument_by_symbol:
                return self.instrument_by_symbol[definition["symbol"]].id, Reason.ALREADY_EXISTS
            instrument = self.instrument_from(definition)
            self.add_instrument(instrument)
            return instrument.id, Reason.NONE
        instrument = self.instrument_by_symbol[definition["symbol"]]
        if kind == CommandKind.INSTRUMENT_UPDATE:
            names = [name_of(value) for value in InstrumentValue if name_of(value) in definition]
            self.change_instrument(instrument.id, {name: instrument.value(name, definition[name]) for name in names})
            return instrument.id, Reason.NONE
        self.statuses[instrument.id] = status_named(definition["status"])
        return instrument.id, Reason.NONE

    def dump(self) -> dict[str, Any]:
        """The registry as JSON, from which `load` makes an equal one."""
        return {
            "assets": [asset.definition() for asset in self.assets],
            "instruments": [instrument.definition() for instrument in self.instruments],
            "statuses": [name_of(status) for status in self.statuses],
        }

    @classmethod
    def load(cls, dump: Mapping[str, Any]) -> "Registry":
        registry = cls()
        for definition in dump["assets"]:
            registry.add_asset(registry.asset_from(definition))
        for definition in dump["instruments"]:
            registry.add_instrument(registry.instrument_from(definition))
        registry.statuses = [status_named(name) for name in dump["statuses"]]
        return registry


def canonical(definition: Mapping[str, Any]) -> str:
    """The text of a definition as it is stored in blocks."""
    return json.dumps(definition, separators=(",", ":"), ensure_ascii=True)


def status_named(name: object) -> InstrumentStatus:
    """Raises BadDefinition if there is no such status."""
    for status in InstrumentStatus:
        if name == name_of(status):
            return status
    raise BadDefinition(f"{name!r} is not a status: use trading, cancel_only or halted.")


def _symbol(definition: Mapping[str, Any]) -> str:
    symbol = definition.get("symbol")
    if not isinstance(symbol, str) or not _SYMBOL.fullmatch(symbol):
        raise BadDefinition(f"{str(symbol)[:40]!r} is not a symbol: use 1 to 32 characters of A-Z 0-9 . _ -")
    return symbol


def fee(name: str, given: object) -> int:
    """A fee rate in parts per million. Raises BadDefinition."""
    return _whole_number(name, given, PPM - 1, " of parts per million")


def _value(name: str, given: object, symbol: str, lot: Unit, quote: Unit) -> int:
    if name in ("maker_fee", "taker_fee", "price_band"):
        return fee(name, given)
    if name == "max_open_orders":
        return _whole_number(name, given, _MAX_OPEN_ORDERS)
    is_quantity = name != "min_notional"
    value = _counted(symbol, (lot if is_quantity else quote).count, given)
    if value < (1 if is_quantity else 0):
        raise BadDefinition(f"{name} of instrument {symbol} must be at least {'one lot' if is_quantity else '0'}.")
    return value


def _whole_number(name: str, given: object, highest: int, unit: str = "") -> int:
    if type(given) is not int or not 0 <= given <= highest:
        raise BadDefinition(f"{name} must be a whole number{unit} from 0 to {highest}.")
    return given


def _counted(symbol: str, count: Callable[[object], _Counted], given: object) -> _Counted:
    try:
        return count(given)
    except (NotPlain, DoesNotFit) as error:
        raise BadDefinition(
            f"Instrument {symbol} has {given!r}, which is not a decimal string and multiple of its unit."
        ) from error


def _whole(mantissa: int, exponent: int) -> int:
    """mantissa × 10^exponent if that is a whole number that fits int64, else 0."""
    digits, scale = split(plain(mantissa, max(0, -exponent)))
    value = digits * 10 ** max(0, exponent)
    return value if scale == 0 and value <= INT64_MAX else 0
