"""The answer of exchangeInfo: the instruments, and their rules as filters."""

from dataclasses import dataclass

from gateway.model.instruments import Instrument, fixed
from matching.core.codes import AMOUNT_LIMIT, PPM, InstrumentStatus
from matching.core.kernel.constants import MAX_PIECES

STATUSES = {
    InstrumentStatus.TRADING: "TRADING",
    InstrumentStatus.CANCEL_ONLY: "CANCEL_ONLY",
    InstrumentStatus.HALTED: "HALT",
}
_ORDER_TYPES = (
    "LIMIT",
    "LIMIT_MAKER",
    "MARKET",
    "STOP_LOSS",
    "STOP_LOSS_LIMIT",
    "TAKE_PROFIT",
    "TAKE_PROFIT_LIMIT",
)
_PREVENTIONS = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
_PPM_DECIMALS = 6


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What a client may send: weight of an address, and orders of an account that are not filled."""

    weight_per_minute: int
    orders_per_10_seconds: int
    orders_per_day: int

    def document(self) -> list[dict[str, object]]:
        return [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, self.weight_per_minute),
            _limit("ORDERS", "SECOND", 10, self.orders_per_10_seconds),
            _limit("ORDERS", "DAY", 1, self.orders_per_day),
        ]


def _limit(kind: str, interval: str, count: int, limit: int) -> dict[str, object]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}


def symbol_document(instrument: Instrument) -> dict[str, object]:
    base, quote = instrument.base, instrument.quote
    return {
        "symbol": instrument.symbol,
        "status": STATUSES[instrument.status],
        "baseAsset": base.symbol,
        "baseAssetPrecision": base.decimals,
        "quoteAsset": quote.symbol,
        "quotePrecision": quote.decimals,
        "quoteAssetPrecision": quote.decimals,
        "baseCommissionPrecision": base.decimals,
        "quoteCommissionPrecision": quote.decimals,
        "orderTypes": list(_ORDER_TYPES),
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": filters(instrument),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_TAKER",
        "allowedSelfTradePreventionModes": list(_PREVENTIONS),
    }


def filters(instrument: Instrument) -> list[dict[str, object]]:
    engine = instrument.engine
    highest_price = AMOUNT_LIMIT // (engine.quote_unit * engine.min_quantity)
    found: list[dict[str, object]] = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": instrument.price_text(1),
            "maxPrice": instrument.price_text(highest_price),
            "tickSize": instrument.price_text(1),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": instrument.quantity_text(engine.min_quantity),
            "maxQty": instrument.quantity_text(engine.max_quantity),
            "stepSize": instrument.quantity_text(1),
        },
        {"filterType": "ICEBERG_PARTS", "limit": MAX_PIECES},
        {
            "filterType": "NOTIONAL",
            "minNotional": instrument.quote_text(engine.min_notional),
            "applyMinToMarket": False,
            "maxNotional": instrument.quote_text(AMOUNT_LIMIT),
            "applyMaxToMarket": False,
            "avgPriceMins": 0,
        },
    ]
    if engine.price_band:
        up, down = (_multiplier(PPM + engine.price_band), _multiplier(PPM - engine.price_band))
        found.append(
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": up,
                "bidMultiplierDown": down,
                "askMultiplierUp": up,
                "askMultiplierDown": down,
                "avgPriceMins": 0,
            }
        )
    if engine.max_open_orders:
        found.append({"filterType": "MAX_NUM_ORDERS", "maxNumOrders": engine.max_open_orders})
    return found


def _multiplier(ppm: int) -> str:
    return fixed(ppm, 1, _PPM_DECIMALS)
