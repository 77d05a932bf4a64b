"""Encryption of secrets at rest: AES-256-GCM with a key derived from a setting, another one for each purpose.

The name of the secret's owner is authenticated with it, so whoever can write to the database cannot give one owner the
secret of another.
"""

import secrets
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.keys.errors import SecretUnreadable

_NONCE_BYTES = 12
_KEY_BYTES = 32


class Purpose(NamedTuple):
    label: bytes  # its keys are derived with this label
    owner: str  # what a name names, for errors


API_KEYS = Purpose(b"open-exchange: secrets of API keys", "the API key")


class SecretCipher:
    """`setting` is at least 32 random characters."""

    def __init__(self, setting: str, purpose: Purpose = API_KEYS) -> None:
        self._owner = purpose.owner
        self._cipher = AESGCM(_derived(setting, purpose.label))
        self._digest_key = _derived(setting, purpose.label + b", digests")

    def encrypt(self, name: str, secret: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, name.encode("utf-8"))

    def decrypt(self, name: str, stored: bytes) -> bytes:
        """Raises SecretUnreadable, also for bytes that `encrypt` has not made."""
        try:
            return self._cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], name.encode("utf-8"))
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable(
                f"The secret of {self._owner} {name} cannot be decrypted: it was stored with another API_KEYS_SECRET."
            ) from error

    def digest(self, name: str, secret: bytes) -> bytes:
        """For a secret that is only compared: HMAC-SHA256. Without the setting nobody can try all short secrets."""
        digest = HMAC(self._digest_key, SHA256())
        digest.update(name.encode("utf-8") + b"\0" + secret)
        return digest.finalize()


def _derived(setting: str, label: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, salt=None, info=label).derive(setting.encode("utf-8"))
