"""What the database keeps of a second factor: the app's secret encrypted, backup codes as digests.

Proxies of django-otp's models, which read and compare these forms. A copy of the database alone is then no second
factor. The key is derived from API_KEYS_SECRET, as that of the secrets of API keys.
"""

import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from binascii import Error as NotBase64

from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice

from gateway.keys.commandline import secret_cipher
from gateway.keys.encryption import Purpose, SecretCipher
from gateway.keys.errors import SecretUnreadable

SECRET_BYTES = 20  # as RFC 4226 recommends
DIGEST_CHARACTERS = 16
"""All that the column of django-otp has: 96 bits."""

_PURPOSE = Purpose(b"open-exchange: second factors", "the second factor of account")
_PREFIX = "aes:"
"""Tells an encrypted secret from one of django-otp, which is hexadecimal."""


class AuthenticatorApp(TOTPDevice):  # type: ignore[misc]  # django-otp ships no types
    """A TOTP device whose `key` is encrypted."""

    class Meta:
        proxy = True
        default_permissions = ()

    @property
    def bin_key(self) -> bytes:
        """The secret. Raises SecretUnreadable."""
        return decrypted(self.user_id, self.key)

    @property
    def is_readable(self) -> bool:
        try:
            return bool(self.bin_key)
        except SecretUnreadable:
            return False


class BackupCodes(StaticDevice):  # type: ignore[misc]  # as above
    """A static device whose tokens are digests."""

    class Meta:
        proxy = True
        default_permissions = ()

    def verify_token(self, token: str) -> bool:
        return bool(super().verify_token(code_digest(self.user_id, token)))


def new_key(user_id: int) -> str:
    return encrypted(user_id, secrets.token_bytes(SECRET_BYTES))


def encrypted(user_id: int, secret: bytes) -> str:
    return _PREFIX + b64encode(_cipher().encrypt(str(user_id), secret)).decode("ascii")


def is_encrypted(key: str) -> bool:
    return key.startswith(_PREFIX)


def decrypted(user_id: int, key: str) -> bytes:
    """Raises SecretUnreadable, also for a secret that is not encrypted: whoever writes to the database could put it."""
    try:
        stored = b64decode(key.removeprefix(_PREFIX), validate=True) if is_encrypted(key) else b""
    except NotBase64:
        stored = b""
    return _cipher().decrypt(str(user_id), stored)


def code_digest(user_id: int, code: str) -> str:
    return urlsafe_b64encode(_cipher().digest(str(user_id), code.encode("utf-8"))).decode("ascii")[:DIGEST_CHARACTERS]


def _cipher() -> SecretCipher:
    return secret_cipher(_PURPOSE)
