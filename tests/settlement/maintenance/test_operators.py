"""The operators' accounts are kept in a backup and come back."""

from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User

from settlement.maintenance import operators


@pytest.fixture
def file(db: None, tmp_path: Path) -> Path:
    """The accounts of one operator, ann, who is in the group treasury."""
    ann = User.objects.create_user("ann", password="the password of ann")
    ann.groups.add(Group.objects.create(name="treasury"))
    kept = tmp_path / "accounts.json"
    kept.write_text(operators.dump("default"), encoding="utf-8")
    return kept


def test_accounts_come_back_with_password_and_group(file: Path) -> None:
    User.objects.all().delete()
    Group.objects.all().delete()
    operators.load(file)
    ann = User.objects.get(username="ann")
    assert ann.check_password("the password of ann")
    assert [group.name for group in ann.groups.all()] == ["treasury"]


def test_an_account_that_exists_keeps_its_password(file: Path) -> None:
    ann = User.objects.get(username="ann")
    ann.set_password("a newer password of ann")
    ann.save()
    operators.load(file)
    assert User.objects.get(username="ann").check_password("a newer password of ann")
    assert (User.objects.count(), Group.objects.filter(name="treasury").count()) == (1, 1)
