"""API keys in the database: made, revoked, listed, loaded."""

import secrets
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_network

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from gateway.keys import signatures
from gateway.keys.encryption import SecretCipher
from gateway.keys.errors import BadKey, KeyExists, SecretUnreadable
from gateway.keys.key import ApiKey, KeyType, Network, Permission
from gateway.models import LABEL_LENGTH, NAME_LENGTH, ApiKeyChanges, StoredApiKey

_ALPHABET = string.ascii_letters + string.digits
_MAX_NETWORKS = 30


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key that is to be made. `public_key` is PEM; None: the exchange makes a secret."""

    account: int
    permissions: frozenset[Permission]
    public_key: bytes | None = None
    networks: tuple[Network, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """`secret` is shown once and never again; None for a public key."""

    name: str
    type: KeyType
    secret: str | None = field(repr=False)


def new_name() -> str:
    """A name that no key has."""
    return _random_text()


def make_key(wanted: Wanted, cipher: SecretCipher, name: str | None = None) -> Made:
    """`name`: one of `new_name`, so that what is asked for twice is made once. Raises BadKey, KeyExists."""
    if not wanted.permissions:
        raise BadKey("A key needs at least one permission: read or trade.")
    if len(wanted.label) > LABEL_LENGTH:
        raise BadKey(f"A label has at most {LABEL_LENGTH} characters.")
    if not wanted.label.isprintable():
        raise BadKey("A label has no line breaks and no other control characters.")
    name, secret = name or new_name(), None
    if wanted.public_key is None:
        key_type, secret = KeyType.HMAC, _random_text()
        material = cipher.encrypt(name, secret.encode("ascii"))
    else:
        key_type, _ = signatures.public_key(wanted.public_key)
        material = wanted.public_key
    row = StoredApiKey(
        name=name,
        account=wanted.account,
        type=key_type.value,
        material=material,
        permissions=",".join(sorted(wanted.permissions)),
        networks=",".join(map(str, wanted.networks)),
        label=wanted.label,
    )
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            _count_change()
    except IntegrityError as error:
        raise KeyExists(f"The API key {name} has already been made. Its secret is not shown again.") from error
    return Made(name, key_type, secret)


def revoke_key(name: str) -> bool:
    """Revokes a key for good; returns False if it is revoked already. Raises BadKey if there is none."""
    with transaction.atomic():
        found = StoredApiKey.objects.filter(name=stored_key(name).name)
        is_revoked = found.filter(revoked_at=None).update(revoked_at=timezone.now()) > 0
        if is_revoked:
            _count_change()
        return is_revoked


def stored_key(name: str) -> StoredApiKey:
    """Raises BadKey if there is none."""
    found = StoredApiKey.objects.filter(name=name).first()
    if found is None:
        raise BadKey(f"There is no API key {name[:NAME_LENGTH]!r}: list_api_keys shows all.")
    return found


def stored_keys(account: int | None = None) -> Iterable[StoredApiKey]:
    """The oldest first, revoked ones too."""
    every = StoredApiKey.objects.order_by("id")
    return every if account is None else every.filter(account=account)


def change_number() -> int:
    """It is another one after each change of a key."""
    return ApiKeyChanges.objects.values_list("number", flat=True).filter(id=1).first() or 0


def valid_keys(cipher: SecretCipher) -> tuple[list[ApiKey], list[str]]:
    """All keys that are not revoked, and the names of those whose secret cannot be decrypted."""
    keys, unreadable = [], []
    for row in StoredApiKey.objects.filter(revoked_at=None).iterator():
        try:
            keys.append(_loaded(row, cipher))
        except (SecretUnreadable, BadKey):
            unreadable.append(row.name)
    return keys, unreadable


def note_uses(used: Iterable[tuple[str, datetime]]) -> None:
    """Stores when keys were used last."""
    for name, used_at in used:
        StoredApiKey.objects.filter(name=name).update(last_used_at=used_at)


def network(text: str) -> Network:
    """An address, or a network such as 192.0.2.0/24. Raises BadKey."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise BadKey(f"{text[:50]!r} is neither an IP address nor a network such as 192.0.2.0/24.") from error


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Raises BadKey."""
    if len(texts) > _MAX_NETWORKS:
        raise BadKey(f"A key has at most {_MAX_NETWORKS} addresses.")
    return tuple(map(network, texts))


def _loaded(row: StoredApiKey, cipher: SecretCipher) -> ApiKey:
    key_type, material = KeyType(row.type), bytes(row.material)
    if key_type is KeyType.HMAC:
        material = cipher.decrypt(row.name, material)
    return ApiKey(
        name=row.name,
        account=row.account,
        type=key_type,
        verifier=signatures.verifier(key_type, material),
        permissions=frozenset(Permission(one) for one in row.permissions.split(",")),
        networks=networks(row.networks.split(",")) if row.networks else (),
    )


def _count_change() -> None:
    ApiKeyChanges.objects.get_or_create(id=1)
    ApiKeyChanges.objects.filter(id=1).update(number=F("number") + 1)


def _random_text() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(NAME_LENGTH))
