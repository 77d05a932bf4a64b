"""The table of actions: the document shows it, and each kind is complete."""

from pathlib import Path

import pytest
from django.contrib.auth.models import Group
from pytest_django import Settings

from back_office.actions import answers, kinds
from back_office.actions.kinds import TABLE, Kind
from exchange_site.configuration.web_checks import actions_of_two_persons_exist
from matching.core.codes import Reason
from tests.back_office.access.test_roles import roles as roles  # a fixture

DOCUMENT = Path(__file__).parents[3] / "docs" / "back-office-actions.md"


def rows() -> list[list[str]]:
    lines = DOCUMENT.read_text(encoding="utf-8").partition("## The actions")[2].partition("## States")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


@pytest.mark.django_db
def test_the_document_shows_the_table() -> None:
    groups = Group.objects.exclude(name="administrator").order_by("name")

    def who(permission: str) -> str:
        codename = permission.partition(".")[2]
        return ", ".join(groups.filter(permissions__codename=codename).values_list("name", flat=True))

    expected = [
        [f"`{kind}`", who(one.permission), "yes" if one.two_persons else "", str(one.key or "")]
        for kind, one in TABLE.items()
    ]
    assert rows() == expected


def test_every_kind_is_in_the_table() -> None:
    assert set(TABLE) == set(Kind)
    assert kinds.of("deposit") == Kind.DEPOSIT
    assert kinds.of("rob") is None


def test_the_setting_adds_kinds_and_takes_none_away(settings: Settings) -> None:
    settings.TWO_PERSON_ACTIONS = ["account_fees"]
    assert kinds.needs_two_persons(Kind.ACCOUNT_FEES)
    assert kinds.needs_two_persons(Kind.DEPOSIT)
    assert not kinds.needs_two_persons(Kind.CANCEL_ORDER)


def test_the_setting_names_kinds_only(settings: Settings) -> None:
    settings.TWO_PERSON_ACTIONS = ["deposit", "rob"]
    (found,) = actions_of_two_persons_exist()
    assert (found.id, found.msg) == ("exchange.E028", "TWO_PERSON_ACTIONS names 'rob'.")
    settings.TWO_PERSON_ACTIONS = list(Kind)
    assert actions_of_two_persons_exist() == []


CAN_REFUSE = {
    *(Reason.MALFORMED, Reason.UNKNOWN_ASSET, Reason.UNKNOWN_SYMBOL, Reason.INVALID_QUANTITY, Reason.INVALID_AMOUNT),
    *(Reason.INSTRUMENT_HALTED, Reason.INSUFFICIENT_BALANCE, Reason.UNKNOWN_ORDER, Reason.SUPPLY_OVERFLOW),
    *(Reason.DUPLICATE_REFERENCE, Reason.ALREADY_EXISTS, Reason.ACCOUNT_RESTRICTED),
}
"""The reasons of docs/semantics.md, section 4, for the commands that actions send."""


@pytest.mark.parametrize("code", CAN_REFUSE)
def test_every_reason_of_these_commands_has_a_sentence(code: Reason) -> None:
    assert not answers.reason(code).startswith("The reason is")


def test_another_reason_is_named() -> None:
    assert answers.refusal("would_trigger_immediately") == "The reason is would trigger immediately."
