"""Changes of users, groups and permissions, by pages and by commands."""

import json
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from back_office.audit.verification import verify
from back_office.models import AuditRecord

PASSWORD = "long enough to be accepted 1"

pytestmark = pytest.mark.django_db


def since(number: int) -> list[tuple[str, str, Any, Any]]:
    """Action, target, before and after of each record after this one."""
    found = AuditRecord.objects.filter(number__gt=number).order_by("number")
    return [(one.action, one.target, _state(one.before), _state(one.after)) for one in found]


def _state(text: str) -> Any:
    return json.loads(text) if text else None


def last() -> int:
    return AuditRecord.objects.count()


def test_a_new_user_is_recorded_with_its_fields() -> None:
    User.objects.create_user("bob", password=PASSWORD, is_staff=True)
    ((action, target, before, after),) = since(0)
    assert (action, target, before) == ("user.created", "user:bob", None)
    assert (after["is_staff"], after["is_superuser"]) == (True, False)
    assert "password" not in after


def test_only_what_changed_is_recorded() -> None:
    bob = User.objects.create_user("bob")
    start = last()
    bob.email, bob.is_active = "bob@exchange.example", False
    bob.save()
    bob.save()
    before, after = {"email": "", "is_active": True}, {"email": "bob@exchange.example", "is_active": False}
    assert since(start) == [("user.changed", "user:bob", before, after)]


def test_a_new_name_is_recorded_under_the_old_one() -> None:
    bob = User.objects.create_user("bob")
    start = last()
    bob.username = "robert"
    bob.save()
    assert since(start) == [("user.changed", "user:bob", {"username": "bob"}, {"username": "robert"})]


def test_a_new_password_is_recorded_without_it() -> None:
    bob = User.objects.create_user("bob", password=PASSWORD)
    start = last()
    bob.set_password(PASSWORD + "2")
    bob.save()
    assert since(start) == [("user.changed", "user:bob", {"password": "old"}, {"password": "new"})]
    assert not AuditRecord.objects.filter(after__contains=PASSWORD).exists()


def test_a_slower_hash_of_the_same_password_is_no_change(settings: Settings) -> None:
    User.objects.create_user("bob", password=PASSWORD)
    start, old = last(), User.objects.get(username="bob").password
    settings.PASSWORD_HASHERS = [f"{PBKDF2PasswordHasher.__module__}.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    assert User.objects.get(username="bob").check_password(PASSWORD)
    assert User.objects.get(username="bob").password != old
    assert since(start) == []


def test_permissions_and_groups_of_a_user_are_recorded() -> None:
    bob, desk = User.objects.create_user("bob"), Group.objects.create(name="desk")
    start = last()
    bob.groups.set([desk])
    bob.user_permissions.set(Permission.objects.filter(codename="view_order"))
    bob.user_permissions.clear()
    permission = ["settlement.view_order"]
    assert since(start) == [
        ("user.changed", "user:bob", {"groups": []}, {"groups": ["desk"]}),
        ("user.changed", "user:bob", {"permissions": []}, {"permissions": permission}),
        ("user.changed", "user:bob", {"permissions": permission}, {"permissions": []}),
    ]


def test_members_that_a_group_gets_and_loses_are_recorded_as_changes_of_the_users() -> None:
    bob, desk = User.objects.create_user("bob"), Group.objects.create(name="desk")
    start = last()
    desk.user_set.add(bob)
    desk.user_set.clear()
    assert since(start) == [
        ("user.changed", "user:bob", {"groups": []}, {"groups": ["desk"]}),
        ("user.changed", "user:bob", {"groups": ["desk"]}, {"groups": []}),
    ]


def test_permissions_of_a_group_are_recorded() -> None:
    desk = Group.objects.create(name="desk")
    start = last()
    desk.permissions.add(*Permission.objects.filter(codename__in=["view_order", "change_alarm"]))
    after = {"permissions": ["settlement.change_alarm", "settlement.view_order"]}
    assert since(start) == [("group.changed", "group:desk", {"permissions": []}, after)]


def test_a_deleted_group_is_recorded_with_permissions_and_members() -> None:
    desk = Group.objects.create(name="desk")
    desk.user_set.add(User.objects.create_user("bob"))
    start = last()
    Group.objects.filter(name="desk").delete()
    before = {"name": "desk", "permissions": [], "members": ["bob"]}
    assert since(start) == [("group.deleted", "group:desk", before, None)]


def test_a_page_records_who_changed_a_user(operator: Client) -> None:
    bob = User.objects.create_user("bob")
    start = last()
    fields = {"username": "bob", "is_active": "on", "date_joined_0": "2026-01-01", "date_joined_1": "00:00"}
    address = reverse("admin:auth_user_change", args=[bob.pk])
    assert operator.post(address, {**fields, "is_staff": "on"}, REMOTE_ADDR="192.0.2.7").status_code == 302
    (record,) = AuditRecord.objects.filter(number__gt=start)
    assert (record.actor, record.address, record.target) == ("operator", "192.0.2.7", "user:bob")
    assert json.loads(record.after) == {"is_staff": True}


def test_the_deletion_of_chosen_users_is_recorded(operator: Client) -> None:
    bob = User.objects.create_user("bob")
    start = last()
    chosen = {"action": "delete_selected", "_selected_action": [bob.pk], "post": "yes"}
    operator.post(reverse("admin:auth_user_changelist"), chosen)
    (record,) = AuditRecord.objects.filter(number__gt=start)
    assert (record.actor, record.action, record.target) == ("operator", "user.deleted", "user:bob")


def test_a_command_is_recorded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", interactive=False, username="root", email="root@exchange.example")
    record = AuditRecord.objects.get(action="user.created")
    assert (record.target, record.address) == ("user:root", "command line")
    assert verify([]).ok


def test_a_login_is_no_change_of_the_user() -> None:
    User.objects.create_superuser("operator", password=PASSWORD)
    start = last()
    Client().post("/admin/login/", {"username": "operator", "password": PASSWORD})
    assert [action for action, *_ in since(start)] == ["login"]
