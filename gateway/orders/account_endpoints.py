"""The endpoints of an account: its balances and its fees."""

from gateway.model.instruments import amount_text, fixed
from gateway.orders.desk import Desk
from gateway.rest.route import Request, Response, Route, Security
from matching.core.codes import AccountStatus

_NO_RATE = "0.00000000"
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
                "commissionRates": _rates(maker, taker),
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
                "standardCommission": _rates(fees.maker, fees.taker),
                "specialCommission": _rates(0, 0),
                "taxCommission": _rates(0, 0),
                "discount": {
                    "enabledForAccount": False,
                    "enabledForSymbol": False,
                    "discountAsset": "",
                    "discount": _NO_RATE,
                },
            }
        )

    def _highest_fees(self, account: int) -> tuple[int, int]:
        """An account has fees by instrument; where one number is asked for, it is the highest of them."""
        fees = [self._desk.model.account_fees(account, one.id) for one in self._desk.model.instruments()]
        return max((one.maker for one in fees), default=0), max((one.taker for one in fees), default=0)


def _rates(maker: int, taker: int) -> dict[str, str]:
    """Rates in parts per million as fractions."""
    return {
        "maker": fixed(maker, 1, _PPM_DECIMALS),
        "taker": fixed(taker, 1, _PPM_DECIMALS),
        "buyer": _NO_RATE,
        "seller": _NO_RATE,
    }
