"""Each role may do what the table in docs/back-office-roles.md says, page by page and action by action."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.test import Client
from django.urls import reverse

from back_office import urls
from tests.back_office.access.test_access import OWN_ACTIONS
from tests.back_office.access.test_permissions import ACTIONS as ACTION_ROUTES
from tests.back_office.access.test_permissions import form
from tests.back_office.conftest import ON_SQL, words
from tests.back_office.market import Market

DOCUMENT = Path(__file__).parents[3] / "docs" / "back-office-roles.md"
LINES = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
HEADER, *ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in LINES]
ROLES = HEADER[1:]
TABLE = {row[0].strip("`"): dict(zip(ROLES, row[1:], strict=True)) for row in ROWS}
ACTIONS = {
    *("acknowledge", "mute", "unmute", "test_notification", "reconcile", "replay"),
    *("approve", "refuse", "withdraw", "request_preview", "ask", "describe"),
    *("create_api_key", "revoke_api_key"),
    *("begin_second_factor", "confirm_second_factor", "new_backup_codes", "remove_second_factor"),
    *("verify_second_factor", "reset_second_factor"),
}
LATER = ("0003_action_requests", "0004_customers", "0006_api_key_roles", "0007_ask_engines")
"""Migrations that extend the roles."""
ADMIN_PAGES: dict[str, Callable[[Any], str]] = {
    "list of users": lambda known: reverse("admin:auth_user_changelist"),
    "add a user": lambda known: reverse("admin:auth_user_add"),
    "change a user": lambda known: reverse("admin:auth_user_password_change", args=[known.pk]),
    "delete a user": lambda known: reverse("admin:auth_user_delete", args=[known.pk]),
    "list of groups": lambda known: reverse("admin:auth_group_changelist"),
    "change a group": lambda known: reverse("admin:auth_group_add"),
}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def roles(db: None) -> None:
    """As the migration makes them. Tests that flush the database delete the migration's own."""
    migration = import_module("back_office.migrations.0002_roles")
    Group.objects.filter(name__in=migration.ROLES).delete()
    by_name = {f"{one.content_type.app_label}.{one.codename}": one for one in Permission.objects.all()}
    added = [import_module(f"back_office.migrations.{one}").ADDED for one in LATER]
    for name, given in migration.ROLES.items():
        needed = given.union(*(one.get(name, set()) for one in added))
        Group.objects.create(name=name).permissions.set([by_name[one] for one in needed])


def with_role(role: str, name: str = "clerk") -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def is_permitted(client: Client, row: str, known: User) -> bool:
    if row in ADMIN_PAGES:
        return client.get(ADMIN_PAGES[row](known)).status_code != 403
    (pattern,) = [one for one in urls.pages() if one.name == row]
    address = reverse(f"office:{row}", args=[1] if "<" in str(pattern.pattern) else [])
    response = client.post(address) if row in ACTIONS else client.get(address, {"q": "1"} if row == "jump" else {})
    return response.status_code != 403


def test_the_table_has_every_page_and_action() -> None:
    assert set(TABLE) == {str(one.name) for one in urls.pages()} | set(ADMIN_PAGES)
    assert len(ACTIONS) == len(ACTION_ROUTES) + len(OWN_ACTIONS)
    assert {cell for row in TABLE.values() for cell in row.values()} == {"yes", ""}


@ON_SQL
@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_the_table_says(market: Market, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    monkeypatch.setattr("settlement.tasks.reconcile.apply_async", lambda *arguments, **options: None)
    known, client = User.objects.create_user("known"), with_role(role)
    answers = {row: "yes" if is_permitted(client, row, known) else "" for row in TABLE}
    assert answers == {row: cells[role] for row, cells in TABLE.items()}


def test_the_migration_makes_the_roles_and_keeps_groups_that_exist() -> None:
    migration = import_module("back_office.migrations.0002_roles")
    Group.objects.all().delete()
    Group.objects.create(name="viewer")
    # Not the process's own apps: the migration changes those that it is given.
    apps = MigrationLoader(connection).project_state(("back_office", "0002_roles")).apps
    migration.make_roles(apps, connection.SchemaEditorClass(connection))
    assert set(Group.objects.values_list("name", flat=True)) == set(ROLES)
    assert not Group.objects.get(name="viewer").permissions.exists()
    for name in set(ROLES) - {"viewer"}:
        rows = Group.objects.get(name=name).permissions.values_list("content_type__app_label", "codename")
        assert {f"{app}.{codename}" for app, codename in rows} == migration.ROLES[name]


def test_a_later_migration_extends_the_roles_that_exist() -> None:
    migration = import_module("back_office.migrations.0003_action_requests")
    Group.objects.all().delete()
    Group.objects.create(name="finance")
    apps = MigrationLoader(connection).project_state(("back_office", "0003_action_requests")).apps
    migration.extend_roles(apps, connection.SchemaEditorClass(connection))
    found = Group.objects.get().permissions.values_list("content_type__app_label", "codename")
    assert {f"{app}.{codename}" for app, codename in found} == migration.FINANCE


@pytest.mark.parametrize(
    ("name", "role", "added"),
    [("0006_api_key_roles", "auditor", "SEEING"), ("0007_ask_engines", "operator", "OPERATOR")],
)
def test_a_later_migration_leaves_viewers_as_they_are(name: str, role: str, added: str) -> None:
    migration = import_module(f"back_office.migrations.{name}")
    Group.objects.all().delete()
    for group in ("viewer", role):
        Group.objects.create(name=group)
    apps = MigrationLoader(connection).project_state(("back_office", name)).apps
    migration.extend_roles(apps, connection.SchemaEditorClass(connection))
    assert not Group.objects.get(name="viewer").permissions.exists()
    rows = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
    assert {f"{app}.{codename}" for app, codename in rows} == getattr(migration, added)


# --- giving roles -------------------------------------------------------------------------------------------------

CHANGE = "admin:auth_user_change"


def give(client: Client, user: User, *roles: str, **more: object) -> Any:
    groups = list(Group.objects.filter(name__in=roles).values_list("pk", flat=True))
    return client.post(reverse(CHANGE, args=[user.pk]), form(user, is_staff="on", groups=groups, **more))


def roles_of(user: User) -> set[str]:
    return set(User.objects.get(pk=user.pk).groups.values_list("name", flat=True))


@pytest.mark.parametrize("role", ROLES)
def test_an_administrator_gives_and_takes_a_role(role: str) -> None:
    client, bob = with_role("administrator"), User.objects.create_user("bob")
    assert give(client, bob, role).status_code == 302
    assert roles_of(bob) == {role}
    assert User.objects.get(username="bob").is_staff
    assert give(client, bob).status_code == 302
    assert roles_of(bob) == set()


def test_an_administrator_makes_no_superuser_and_gives_no_single_permission() -> None:
    client, bob = with_role("administrator"), User.objects.create_user("bob")
    permissions = list(Permission.objects.values_list("pk", flat=True))
    assert give(client, bob, "viewer", is_superuser="on", user_permissions=permissions).status_code == 302
    bob.refresh_from_db()
    assert (bob.is_superuser, bob.user_permissions.count()) == (False, 0)


def test_nobody_gives_a_role_with_a_permission_that_he_lacks() -> None:
    """To himself neither."""
    group = Group.objects.create(name="helpdesk")
    given = ["view_user", "change_user", "assign_roles"]
    group.permissions.set(Permission.objects.filter(codename__in=given))
    client = with_role("helpdesk")
    for user in (User.objects.get(username="clerk"), User.objects.create_user("bob")):
        before = roles_of(user)
        response = give(client, user, "viewer")
        assert response.status_code == 200
        assert "is not one of the available choices" in words(response)
        assert roles_of(user) == before


def test_an_administrator_cannot_take_over_a_superuser() -> None:
    client, root = with_role("administrator"), User.objects.create_superuser("root")
    assert give(client, root).status_code == 403
    assert client.get(reverse("admin:auth_user_password_change", args=[root.pk])).status_code == 403


@pytest.mark.parametrize("role", [role for role in ROLES if role != "administrator"])
def test_other_roles_change_no_user(role: str) -> None:
    client, bob = with_role(role), User.objects.create_user("bob")
    assert give(client, bob, "viewer").status_code == 403
    assert roles_of(bob) == set()
    clerk = User.objects.get(username="clerk")
    assert give(client, clerk, "administrator").status_code == 403
    assert roles_of(clerk) == {role}
