"""The certificate with which the server speaks TLS. It is loaded again when its files have been renewed.

Whoever renews it writes two files, one after the other. So files that do not fit each other are not used yet: new
connections get the certificate that was loaded before, until both files are there.
"""

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate as X509Certificate
from cryptography.x509 import load_pem_x509_certificates

from matching.core.errors import MatchingError

log = structlog.get_logger(__name__)


class CertificateUnusable(MatchingError):
    """The certificate or its key cannot be used: replace the files. The text is one sentence."""


def _now() -> datetime:
    return datetime.now(UTC)


class Certificate:
    """`certificate` has the chain, the server's own first; both files are PEM. Raises CertificateUnusable."""

    def __init__(self, certificate: Path, key: Path, *, now: Callable[[], datetime] = _now) -> None:
        self._certificate = certificate
        self._key = key
        self._now = now
        self._seen = self._digests()
        _check(certificate, key, now())
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._load(self.context)

    def refresh(self) -> None:
        """Loads the files again if they have changed. Files that cannot be used are reported once, and not loaded."""
        digests = self._digests()
        if digests == self._seen:
            return
        self._seen = digests
        try:
            valid_until = _check(self._certificate, self._key, self._now())
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._load(self.context)
        except CertificateUnusable as error:
            log.warning("gateway.certificate_unusable", error=str(error))
        else:
            log.info("gateway.certificate_renewed", valid_until=valid_until.isoformat())

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._certificate, self._key)
        except (ssl.SSLError, OSError) as error:
            raise CertificateUnusable(
                f"The certificate {self._certificate} cannot be used: {error.strerror or error}."
            ) from error

    def _digests(self) -> Sequence[bytes]:
        return [_digest(file) for file in (self._certificate, self._key)]


def _digest(file: Path) -> bytes:
    """Of the content, because two files written one after the other can have one time and one size."""
    try:
        return sha256(file.read_bytes()).digest()
    except OSError:
        return b""


def _check(certificate: Path, key: Path, now: datetime) -> datetime:
    """Returns until when the certificate is valid. Raises CertificateUnusable."""
    own = _own_certificate(certificate)
    try:
        private = load_pem_private_key(_read(key, "key"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateUnusable(f"The key {key} is not a private key in PEM form without a password.") from error
    if own.public_key() != private.public_key():
        raise CertificateUnusable(f"The key {key} does not fit the certificate {certificate}.")
    if now > own.not_valid_after_utc:
        raise CertificateUnusable(
            f"The certificate {certificate} has expired: it was valid until {_minute(own.not_valid_after_utc)}."
        )
    if now < own.not_valid_before_utc:
        raise CertificateUnusable(
            f"The certificate {certificate} is not valid before {_minute(own.not_valid_before_utc)}."
        )
    return own.not_valid_after_utc


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _own_certificate(file: Path) -> X509Certificate:
    try:
        return load_pem_x509_certificates(_read(file, "certificate"))[0]
    except ValueError as error:
        raise CertificateUnusable(f"The file {file} has no certificate in PEM form.") from error


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise CertificateUnusable(f"The {what} {file} cannot be read: {error.strerror}.") from error
