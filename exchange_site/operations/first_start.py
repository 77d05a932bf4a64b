"""What a first start creates: the sockets' keys (any command), a secret key and an administrator (`make run`)."""

import os
import secrets
from pathlib import Path

import structlog
from django.conf import settings
from django.contrib.auth import get_user_model

log = structlog.get_logger(__name__)

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


def make_local_keys() -> None:
    """Creates the keys of this machine if DATA_DIR has no key register yet. Raises KeysUnusable."""
    if settings.PLAIN_SOCKETS or os.path.lexists(settings.DATA_DIR / "keys" / "register.json"):
        return
    # Imported here: loading ZeroMQ would delay every later start.
    from matching.commandline.own_keys import key_folder
    from matching.storage import local_keys

    if local_keys.make_local_keys(key_folder()):
        log.debug("keys.made", folder=str(key_folder().folder))


def complete_signing_keys() -> int:
    """Adds signing keys to the keys of an earlier version; returns how many.

    Raises KeysUnusable, BadKeyRegister.
    """
    if settings.PLAIN_SOCKETS:
        return 0
    from matching.commandline.own_keys import key_folder
    from matching.storage import key_making

    return key_making.complete_signing_keys(key_folder())


def warn_if_plain() -> None:
    """Logs a warning if this service opens sockets without keys."""
    if settings.PLAIN_SOCKETS:
        log.warning("keys.not_used", setting="PLAIN_SOCKETS")
