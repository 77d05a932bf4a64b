"""The accounts of the back office, which are in no block: users and groups, in the form of Django's fixtures."""

from io import StringIO
from pathlib import Path

from django.contrib.auth.models import Group, User
from django.core import serializers
from django.core.management import call_command

_MODELS = ("auth.group", "auth.user")


def dump(alias: str) -> str:
    """Users, with the hashes of their passwords, and groups in this database; they refer to each other by name."""
    text = StringIO()
    options = {"use_natural_foreign_keys": True, "use_natural_primary_keys": True, "database": alias}
    call_command("dumpdata", *_MODELS, **options, stdout=text)
    return text.getvalue()


def load(file: Path) -> None:
    """Adds the accounts and groups that do not exist. Those that exist may be newer, so they stay as they are."""
    for record in serializers.deserialize("json", file.read_text(encoding="utf-8")):
        one = record.object
        is_known = (
            User.objects.filter(username=one.username).exists()
            if isinstance(one, User)
            else isinstance(one, Group) and Group.objects.filter(name=one.name).exists()
        )
        if not is_known:
            record.save()
