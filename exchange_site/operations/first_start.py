"""Created by the first `make run`: a secret key, and an administrator with a random password."""

import os
import secrets
from pathlib import Path

from django.contrib.auth import get_user_model

ADMINISTRATOR = "admin"


def keep_secret(file: Path, random_bytes: int) -> bool:
    """Write a new secret that only this account can read; False if the file exists already."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(secrets.token_urlsafe(random_bytes) + "\n")
    return True


def make_administrator(password_file: Path) -> bool:
    """Create the administrator's account; False if it exists already, which leaves its password unchanged."""
    users = get_user_model()
    if users.objects.filter(username=ADMINISTRATOR).exists():
        return False
    keep_secret(password_file, random_bytes=15)
    users.objects.create_superuser(username=ADMINISTRATOR, password=password_file.read_text(encoding="ascii").strip())
    return True
