"""The page of the instruments: sizes, limits, fees and price bands, as they are now."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from back_office.access import permissions
from back_office.actions.kinds import ASK_MARKET
from back_office.formats import ReferenceData
from matching.core.codes import InstrumentStatus, name_of
from matching.core.registry import Instrument


@dataclass(frozen=True, slots=True)
class InstrumentRow:
    """Decimals in their shortest form; fees and band in parts per million."""

    symbol: str
    base: str
    quote: str
    status: str  # in words
    status_code: str
    tick_size: str
    lot_size: str
    min_quantity: str
    max_quantity: str
    min_notional: str
    maker_fee: int
    taker_fee: int
    price_band: int  # 0: none
    max_open_orders: int  # 0: no limit

    @classmethod
    def of(cls, instrument: Instrument, status: InstrumentStatus) -> "InstrumentRow":
        return cls(
            symbol=instrument.symbol,
            base=instrument.base.symbol,
            quote=instrument.quote.symbol,
            status=name_of(status).replace("_", " "),
            status_code=name_of(status),
            tick_size=instrument.tick.text(1),
            lot_size=instrument.lot.text(1),
            min_quantity=instrument.lot.text(instrument.min_quantity),
            max_quantity=instrument.lot.text(instrument.max_quantity),
            min_notional=instrument.quote.unit.text(instrument.min_notional),
            maker_fee=instrument.maker_fee,
            taker_fee=instrument.taker_fee,
            price_band=instrument.price_band,
            max_open_orders=instrument.max_open_orders,
        )


_STATUSES = (("halted", "Halt"), ("cancel_only", "Cancel only"), ("trading", "Resume"))
"""Values of the engine's command, and what buttons say."""


class InstrumentPages:
    def __init__(self, reference: ReferenceData) -> None:
        self.reference = reference

    def instruments(self, request: HttpRequest) -> TemplateResponse:
        registry = self.reference.registry()
        pairs = sorted(zip(registry.instruments, registry.statuses, strict=True), key=lambda pair: pair[0].symbol)
        rows = [InstrumentRow.of(instrument, status) for instrument, status in pairs]
        context = {
            "title": "Instruments",
            "rows": rows,
            "may_ask": not permissions.missing(request.user, (permissions.REQUESTS, ASK_MARKET)),
            "new": reverse("office:request_form"),
            "statuses": _STATUSES,
        }
        return TemplateResponse(request, "back_office/instruments.html", context)
