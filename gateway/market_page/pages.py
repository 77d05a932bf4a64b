"""The HTML of the market page, of the page for an unknown instrument, and of the page before there is any instrument.

All addresses in a page are relative, so that it also works behind a proxy that adds a prefix to the path.
"""

from collections.abc import Sequence

from django.template.loader import render_to_string

from gateway.market.exchange_info import STATUSES
from gateway.model.instruments import Instrument


class Pages:
    def __init__(self, assets_address: str) -> None:
        """`assets_address`: of the folder of static files, relative to /market/."""
        self._assets = assets_address

    def market(self, instrument: Instrument, every: Sequence[Instrument]) -> bytes:
        status = STATUSES[instrument.status]
        return self._html("market.html", {"instrument": instrument, "status": status, "instruments": every})

    def unknown(self, name: str, every: Sequence[Instrument]) -> bytes:
        return self._html("unknown_market.html", {"name": name, "instruments": every})

    def none_yet(self) -> bytes:
        return self._html("no_market.html", {})

    def _html(self, template: str, values: dict[str, object]) -> bytes:
        return render_to_string(f"gateway/{template}", {"assets": self._assets, **values}).encode("utf-8")
