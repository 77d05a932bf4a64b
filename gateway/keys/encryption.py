"""Encryption of HMAC secrets at rest: AES-256-GCM with a key derived from a setting.

The name of the key is authenticated with the secret, so whoever can write to the database cannot give one key the
secret of another.
"""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.keys.errors import SecretUnreadable

_NONCE_BYTES = 12
_KEY_BYTES = 32
_PURPOSE = b"open-exchange: secrets of API keys"


class SecretCipher:
    """`setting` is at least 32 random characters."""

    def __init__(self, setting: str) -> None:
        derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_PURPOSE).derive(setting.encode("utf-8"))
        self._cipher = AESGCM(derived)

    def encrypt(self, name: str, secret: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, secret, name.encode("utf-8"))

    def decrypt(self, name: str, stored: bytes) -> bytes:
        """Raises SecretUnreadable."""
        try:
            return self._cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], name.encode("utf-8"))
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable(
                f"The secret of the API key {name} cannot be decrypted: it was stored with another API_KEYS_SECRET."
            ) from error
