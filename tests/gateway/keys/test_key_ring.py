"""Keys in a real database: made, loaded by a gateway, used, revoked."""

import hashlib
import hmac
import time
from collections.abc import Iterator

import pytest
from django.db import connection
from structlog.testing import capture_logs

from gateway.keys.encryption import SecretCipher
from gateway.keys.errors import SecretUnreadable
from gateway.keys.key import Permission
from gateway.keys.key_ring import KeyRing
from gateway.keys.stored_keys import Made, Wanted, make_key, networks, revoke_key
from gateway.models import StoredApiKey
from tests.matching.small_exchange import until

pytestmark = pytest.mark.django_db(transaction=True)
CIPHER = SecretCipher("a setting of the tests that is long enough")
BOTH = frozenset(Permission)


@pytest.fixture
def ring() -> Iterator[KeyRing]:
    made = KeyRing(CIPHER)
    made.start()
    yield made
    made.stop()


def made_key(account: int = 7) -> Made:
    return make_key(Wanted(account, BOTH, networks=networks(["192.0.2.0/24"]), label="bot"), CIPHER)


def test_a_key_is_found_within_a_second_of_its_making(ring: KeyRing) -> None:
    made = made_key()
    began_s = time.monotonic()
    until(lambda: ring.find(made.name), "the key")
    assert time.monotonic() - began_s < 1
    key = ring.find(made.name)
    assert key is not None
    assert (key.account, key.permissions) == (7, BOTH)
    assert key.may_be_used_from("192.0.2.9")
    assert not key.may_be_used_from("192.0.3.9")
    assert made.secret is not None
    signature = hmac.new(made.secret.encode(), b"message", hashlib.sha256).hexdigest()
    assert key.verifier.matches(b"message", signature)


def test_a_key_is_gone_within_a_second_of_its_revocation() -> None:
    made, changes = made_key(), []
    ring = KeyRing(CIPHER, on_change=lambda: changes.append(time.monotonic()))
    ring.start()
    try:
        assert ring.find(made.name) is not None
        began_s = time.monotonic()
        revoke_key(made.name)
        until(lambda: ring.find(made.name) is None, "the revocation")
        assert changes[-1] - began_s < 1
    finally:
        ring.stop()


def test_the_last_use_is_stored() -> None:
    made = made_key()
    ring = KeyRing(CIPHER)
    ring.start()
    ring.note_use(made.name)
    ring.stop()
    assert StoredApiKey.objects.get(name=made.name).last_used_at is not None


def test_keys_stay_valid_while_the_database_is_away(ring: KeyRing) -> None:
    made = made_key()
    until(lambda: ring.find(made.name), "the key")
    with capture_logs() as lines:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE api_key_changes RENAME TO hidden")
        try:
            until(lambda: any(line["event"] == "gateway.keys_unavailable" for line in lines), "the log line")
            assert ring.find(made.name) is not None
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE hidden RENAME TO api_key_changes")
    another = made_key()
    until(lambda: ring.find(another.name), "the next key")


def test_a_secret_is_encrypted_with_its_name() -> None:
    made = made_key()
    row = StoredApiKey.objects.get(name=made.name)
    assert made.secret is not None
    assert made.secret.encode() not in bytes(row.material)
    with pytest.raises(SecretUnreadable):
        CIPHER.decrypt("another", bytes(row.material))


def test_a_key_of_another_setting_is_logged_and_left_out() -> None:
    made = made_key()
    ring = KeyRing(SecretCipher("another setting, also long enough for this"))
    with capture_logs() as lines:
        ring.start()
    ring.stop()
    assert ring.find(made.name) is None
    assert {"event": "gateway.key_unreadable", "log_level": "error", "key": made.name} in lines


def test_no_secret_is_in_the_repr_of_a_key(ring: KeyRing) -> None:
    made = made_key()
    until(lambda: ring.find(made.name), "the key")
    assert made.secret is not None
    assert made.secret not in repr(ring.find(made.name))
    assert made.secret not in repr(made)
