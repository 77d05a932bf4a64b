"""Fixtures of actions: persons with the permissions of roles, and a real engine with reference data."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from back_office.actions import requests
from back_office.actions.engine import RealEngine
from back_office.actions.kinds import Kind
from back_office.actions.parameters import Parameters
from back_office.actions.requests import Wish
from back_office.models import ActionRequest
from matching.client.client import Client as EngineClient
from matching.client.client import Result
from matching.workloads.btc_usd import DEFINITIONS
from tests.matching import small_exchange
from tests.matching.small_exchange import deposit

MONEY: Parameters = {"account": 1, "asset": "BTC", "amount": "2.5", "reference": "wire-77"}
HALT: Parameters = {"symbol": "BTC-USD", "status": "halted"}
FINANCE = ("view_actionrequest", "ask_money", "ask_fees")
OPERATOR = ("view_actionrequest", "ask_orders", "ask_market", "ask_accounts", "ask_fees", "ask_engines")
APPROVER = ("view_actionrequest", "decide_request")


@dataclass
class Exchange:
    """A running engine, and a client of it that looks at what was done."""

    real: RealEngine
    client: EngineClient
    commands: str

    def call(self, *commands: dict[str, object]) -> list[Result]:
        return self.client.call(commands)

    def balance(self, account: int, asset: str = "BTC") -> str:
        unit = self.client.registry.asset_by_symbol[asset].unit
        found = [row[2] for row in self.client.state()["balances"] if row[:2] == [account, asset]]
        return unit.text(found[0] if found else 0)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """Account 1 has 10 BTC."""
    with small_exchange.leader(small_exchange.plan()) as running, EngineClient(running.commands) as client:
        client.call([*DEFINITIONS, deposit(1, "first", amount="10")])
        yield Exchange(RealEngine(lambda: running.commands), client, running.commands)


def person(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def login(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def fiona(db: None) -> User:
    """Of finance."""
    return person("fiona", *FINANCE)


@pytest.fixture
def oscar(db: None) -> User:
    """An operator."""
    return person("oscar", *OPERATOR)


@pytest.fixture
def anna(db: None) -> User:
    """An approver."""
    return person("anna", *APPROVER)


def asked(user: User, kind: Kind, parameters: Parameters, form: str = "form-1") -> ActionRequest:
    made, _ = requests.ask(Wish(form, kind, parameters, ["What it does."], "Ticket 12."), user)
    return made


def reread(request: ActionRequest) -> ActionRequest:
    return ActionRequest.objects.get(pk=request.pk)
