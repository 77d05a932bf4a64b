"""The endpoints of an account: its balances and its fees."""

from gateway.model.instruments import amount_text, fixed
from gateway.orders.desk import Desk
from gateway.rest.route import Request, Response, Route, Security
from matching.core.codes import AccountStatus

_NO_RATE = "0.00000000"
NO_DISCOUNT = {
    "enabledForAccount": False,
    "enabledForSymbol": False,
    "discountAsset": "",
    "discount": _NO_RATE,
}
"""Nobody pays less by paying in another asset."""
_PPM_DECIMALS = 6
_PPM_PER_BASIS_POINT = 100


class AccountEndpoints:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        symbol = frozenset({"symbol"})
        return [
            Route("GET", "/api/v3/account", self.account, 20, Security.READ, frozenset({"omitZeroBalances"})),
            Route("GET", "/api/v3/account/commission", self.commission, 20, Security.READ, symbol),
            Route("GET", "/api/v3/rateLimit/order", self.order_counts, 40, Security.READ),
            Route("GET", "/api/v3/myFilters", self.filters, 40, Security.READ, symbol),
        ]

    async def account(self, request: Request) -> Response:
        omits_zeros = request.parameters.boolean("omitZeroBalances", default=False)
        model, account = self._desk.model, request.account
        model.check_ready()
        status = model.account_status(account)
        maker, taker = self._highest_fees(account)
        return Response(
            {
                "makerCommission": maker // _PPM_PER_BASIS_POINT,
                "takerCommission": taker // _PPM_PER_BASIS_POINT,
                "buyerCommission": 0,
                "sellerCommission": 0,
                "commissionRates": rates(maker, taker),
                "canTrade": status is AccountStatus.ACTIVE,
                "canWithdraw": status is not AccountStatus.FROZEN,
                "canDeposit": True,
                "brokered": False,
                "requireSelfTradePrevention": False,
                "preventSor": False,
                "updateTime": request.time(model.account_updated_at_ns(account)),
                "accountType": "SPOT",
                "balances": [
                    {
                        "asset": balance.asset.symbol,
                        "free": amount_text(balance.available, balance.asset),
                        "locked": amount_text(balance.locked, balance.asset),
                    }
                    for balance in model.balances(account)
                    if balance.available or balance.locked or not omits_zeros
                ],
                "permissions": ["SPOT"],
                "uid": account,
            }
        )

    async def commission(self, request: Request) -> Response:
        instrument = self._desk.instrument(request.parameters)
        self._desk.model.check_ready()
        fees = self._desk.model.account_fees(request.account, instrument.id)
        return Response(
            {
                "symbol": instrument.symbol,
                "standardCommission": rates(fees.maker, fees.taker),
                "specialCommission": rates(0, 0),
                "taxCommission": rates(0, 0),
                "discount": NO_DISCOUNT,
            }
        )

    async def order_counts(self, request: Request) -> Response:
        return Response(
            [
                {
                    "rateLimitType": "ORDERS",
                    "interval": interval.name,
                    "intervalNum": interval.number,
                    "limit": limit,
                    "count": count,
                }
                for interval, limit, count in self._desk.limits.used(request.account)
            ]
        )

    async def filters(self, request: Request) -> Response:
        """Only what depends on the account; the instrument's filters are in exchangeInfo."""
        self._desk.instrument(request.parameters)
        return Response({"exchangeFilters": [], "symbolFilters": [], "assetFilters": []})

    def _highest_fees(self, account: int) -> tuple[int, int]:
        """An account has fees by instrument; where one number is asked for, it is the highest of them."""
        fees = [self._desk.model.account_fees(account, one.id) for one in self._desk.model.instruments()]
        return max((one.maker for one in fees), default=0), max((one.taker for one in fees), default=0)


def rates(maker: int, taker: int, *, with_sides: bool = True) -> dict[str, str]:
    """Rates in parts per million as fractions. No rate depends on the side."""
    document = {"maker": fixed(maker, 1, _PPM_DECIMALS), "taker": fixed(taker, 1, _PPM_DECIMALS)}
    return {**document, "buyer": _NO_RATE, "seller": _NO_RATE} if with_sides else document
