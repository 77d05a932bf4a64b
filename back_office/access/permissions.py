"""Permissions of the back office's pages, named after the tables whose rows they show.

A page needs the permission of every kind of record on it. There are two exceptions: the overview leaves out sections,
and the search leaves out kinds of records, for which the user lacks the permission.
"""

from collections.abc import Iterable
from typing import Protocol

TRADES = "settlement.view_settledtrade"
ORDERS = "settlement.view_order"
BALANCES = "settlement.view_balance"
ENTRIES = "settlement.view_ledgerevent"
INSTRUMENTS = "settlement.view_definition"
BLOCKS = "settlement.view_engineblock"
ALARMS = "settlement.view_alarm"
RECONCILIATIONS = "settlement.view_reconciliationrun"
DEAD_LETTERS = "settlement.view_deadletter"
AUDIT_LOG = "back_office.view_auditrecord"
REQUESTS = "back_office.view_actionrequest"
API_KEYS = "gateway.view_storedapikey"
ASSIGN_ROLES = "back_office.assign_roles"


class User(Protocol):
    """Django's users. A protocol, because the settings import this module before the models exist."""

    def has_perm(self, perm: str, /) -> bool: ...


def missing(user: User, needed: Iterable[str]) -> list[str]:
    """Permissions that the user lacks."""
    return [permission for permission in needed if not user.has_perm(permission)]


def refusal(what: str, lacking: list[str]) -> str:
    """Sentence for a user who lacks permissions; `what`: "see this page"."""
    names = " and ".join(lacking)
    return f"Your account is not allowed to {what}: it needs the permission{'s' * (len(lacking) > 1)} {names}."
