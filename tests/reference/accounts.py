"""What an operator has set for an account: its status and its own fee rates."""

from tests.reference.commands import Instrument


class Accounts:
    """Rates are (maker, taker) in ppm; `own_rates` by account and symbol, None for all instruments."""

    def __init__(self) -> None:
        self.statuses: dict[int, str] = {}
        self.own_rates: dict[tuple[int, str | None], tuple[int, int]] = {}

    def status(self, account: int) -> str:
        return self.statuses.get(account, "active")

    def set_rates(self, account: int, symbol: str | None, rates: tuple[int, int] | None) -> None:
        """None takes away what is there, if anything."""
        if rates is None:
            self.own_rates.pop((account, symbol), None)
        else:
            self.own_rates[account, symbol] = rates

    def rates(self, account: int, instrument: Instrument) -> tuple[int, int]:
        """For the account in this instrument, else for the account, else the instrument's."""
        for key in ((account, instrument.symbol), (account, None)):
            if key in self.own_rates:
                return self.own_rates[key]
        return instrument.maker_fee, instrument.taker_fee
