"""What a first `make run` makes: a secret key, and an administrator with a password that nobody else knows."""

import os
import secrets
from pathlib import Path

from django.contrib.auth import get_user_model

ADMINISTRATOR = "admin"


def keep_secret(file: Path, random_bytes: int) -> bool:
    """Write a new secret that only this account can read; False where there is one already."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(secrets.token_urlsafe(random_bytes) + "\n")
    return True


def make_administrator(password_file: Path) -> bool:
    """Make the administrator's account; False where it is there already, with whatever password it has."""
    users = get_user_model()
    if users.objects.filter(username=ADMINISTRATOR).exists():
        return False
    keep_secret(password_file, random_bytes=15)
    users.objects.create_superuser(username=ADMINISTRATOR, password=password_file.read_text(encoding="ascii").strip())
    return True
