"""Whose logins need a second factor, and the check of the setting."""

from importlib import import_module

import pytest
from django.contrib.auth.models import Group, User
from pytest_django import Settings

from back_office.access.roles import EVERYBODY, ROLES
from back_office.second_factor import requirement
from exchange_site.configuration.web_checks import roles_with_a_second_factor_exist


def with_role(name: str, role: str) -> User:
    user = User.objects.create_user(name)
    user.groups.add(Group.objects.get_or_create(name=role)[0])
    return user


@pytest.mark.django_db
def test_the_roles_that_the_setting_names_need_it(settings: Settings) -> None:
    fiona, vera = with_role("fiona", "finance"), with_role("vera", "viewer")
    root = User.objects.create_superuser("root")
    assert settings.SECOND_FACTOR_ROLES == []
    assert not any(map(requirement.is_required, (fiona, vera, root)))
    settings.SECOND_FACTOR_ROLES = ["finance", "operator"]
    assert [requirement.is_required(user) for user in (fiona, vera, root)] == [True, False, True]
    settings.SECOND_FACTOR_ROLES = [EVERYBODY]
    assert all(map(requirement.is_required, (fiona, vera, root)))


def test_the_names_are_those_of_the_migration() -> None:
    assert set(import_module("back_office.migrations.0002_roles").ROLES) == set(ROLES)


def test_the_setting_names_roles_only(settings: Settings) -> None:
    settings.SECOND_FACTOR_ROLES = ["finance", "robber"]
    (found,) = roles_with_a_second_factor_exist()
    assert (found.id, found.msg) == ("exchange.E029", "SECOND_FACTOR_ROLES names 'robber'.")
    settings.SECOND_FACTOR_ROLES = [*ROLES, EVERYBODY]
    assert roles_with_a_second_factor_exist() == []
