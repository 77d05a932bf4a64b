"""Endpoints outside the spot API that clients ask when they load their markets: answered so that a host is enough."""

from gateway.market.figures import quotient_text
from gateway.model.queries import ReadModel
from gateway.rest.route import Request, Response, Route, Security
from matching.core.codes import PPM
from matching.core.registry import Asset

_RATE_DECIMALS = 6
_NOTHING = "0"


class CourtesyEndpoints:
    def __init__(self, model: ReadModel) -> None:
        self._model = model

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/sapi/v1/capital/config/getall", self.assets, 10, Security.READ),
            Route("GET", "/sapi/v1/asset/tradeFee", self.fees, 1, Security.READ, frozenset({"symbol"})),
            Route("GET", "/sapi/v1/system/status", self.status, 1),
            Route("GET", "/sapi/v1/margin/allPairs", self.no_pairs, 1, parameters=frozenset({"symbol"})),
            Route("GET", "/sapi/v1/margin/isolated/allPairs", self.no_pairs, 1, parameters=frozenset({"symbol"})),
            Route("GET", "/fapi/v1/exchangeInfo", self.no_symbols, 1),
            Route("GET", "/dapi/v1/exchangeInfo", self.no_symbols, 1),
        ]

    async def assets(self, request: Request) -> Response:
        self._model.check_ready()
        balances = {one.asset.id: (one.available, one.locked) for one in self._model.balances(request.account)}
        return Response([_asset(asset, *balances.get(asset.id, (0, 0))) for asset in self._model.assets()])

    async def fees(self, request: Request) -> Response:
        self._model.check_ready()
        wanted = request.parameters.optional_text("symbol")
        return Response(
            [
                {
                    "symbol": one.symbol,
                    "makerCommission": _rate(self._model.account_fees(request.account, one.id).maker),
                    "takerCommission": _rate(self._model.account_fees(request.account, one.id).taker),
                }
                for one in self._model.instruments()
                if wanted in (None, one.symbol)
            ]
        )

    async def status(self, request: Request) -> Response:
        """0: normal. A gateway that is not ready answers with 503."""
        self._model.check_ready()
        return Response({"status": 0, "msg": "normal"})

    async def no_pairs(self, request: Request) -> Response:
        return Response([])

    async def no_symbols(self, request: Request) -> Response:
        return Response({"symbols": []})


def _rate(ppm: int) -> str:
    return quotient_text(ppm, PPM, _RATE_DECIMALS)


def _asset(asset: Asset, available: int, locked: int) -> dict[str, object]:
    """Deposits and withdrawals do not go by this API."""
    return {
        "coin": asset.symbol,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "name": asset.symbol,
        "free": asset.unit.text(available),
        "locked": asset.unit.text(locked),
        "freeze": _NOTHING,
        "withdrawing": _NOTHING,
        "ipoing": _NOTHING,
        "ipoable": _NOTHING,
        "storage": _NOTHING,
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }
