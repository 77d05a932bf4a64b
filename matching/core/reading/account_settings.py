"""What operators have set for accounts, read from an engine's pools: statuses other than active, and own fee rates."""

from collections.abc import Iterator
from typing import NamedTuple

from matching.core.codes import NO_FEE, AccountStatus, name_of
from matching.core.engine import Engine
from matching.core.kernel.structures import pools as p


class AccountSetting(NamedTuple):
    account: int
    kind: str  # "status" or "fees"
    symbol: str  # the instrument of the fees; "": all instruments, and for a status
    status: str | None  # None: fees
    maker_fee: int | None  # ppm; None: a status
    taker_fee: int | None


def account_settings(engine: Engine) -> list[AccountSetting]:
    """By account, kind and symbol; accounts that are active and have no rates of their own are left out."""
    return sorted([*_statuses(engine), *_fees(engine), *_fees_in_instruments(engine)], key=lambda setting: setting[:3])


def _statuses(engine: Engine) -> Iterator[AccountSetting]:
    rows = engine.pools.accounts[1 : engine.pools.state[p.ACCOUNT_TOP]]
    rows = rows[rows["status"] != AccountStatus.ACTIVE]
    for account, status in zip(rows["account"].tolist(), rows["status"].tolist(), strict=True):
        yield AccountSetting(account, "status", "", name_of(AccountStatus(status)), None, None)


def _fees(engine: Engine) -> Iterator[AccountSetting]:
    rows = engine.pools.accounts[1 : engine.pools.state[p.ACCOUNT_TOP]]
    for account, maker, taker in rows[rows["maker_fee"] != NO_FEE][["account", "maker_fee", "taker_fee"]].tolist():
        yield AccountSetting(account, "fees", "", None, maker, taker)


def _fees_in_instruments(engine: Engine) -> Iterator[AccountSetting]:
    top = engine.pools.state[p.TRADER_TOP]
    terms, traders = engine.pools.terms[:top], engine.pools.traders[:top]
    is_own = terms["is_own"] != 0
    rates = terms[is_own][["maker_fee", "taker_fee"]].tolist()
    places = traders[is_own][["account", "instrument"]].tolist()
    for (account, instrument), (maker, taker) in zip(places, rates, strict=True):
        yield AccountSetting(account, "fees", engine.registry.instruments[instrument].symbol, None, maker, taker)
