"""Ways to tell people of an alarm: e-mail (ALARM_EMAILS), and a POST to a webhook (ALARM_WEBHOOKS)."""

import hashlib
import hmac
import smtplib
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from back_office.alarm_notifications.notification import Notification
from settlement.audit.http_request import HttpFailed, post

TIMEOUT_S = 5.0
_MARK_CHARACTERS = 6


class NotSent(Exception):
    """A notification could not be sent; the text is the reason, without secrets."""


class Channel(Protocol):
    name: str
    """For pages, logs and metrics, different for each channel: no path or query of a URL, which may be a secret."""

    def send(self, notification: Notification) -> None:
        """Returns when the other side has accepted the notification. Raises NotSent."""


class Email:
    """One message to all addresses, through the server of EMAIL_URL."""

    def __init__(self, addresses: list[str], sender: str) -> None:
        self.name = f"e-mail to {', '.join(addresses)}"
        self._addresses = addresses
        self._sender = sender

    def send(self, notification: Notification) -> None:
        server = get_connection(timeout=TIMEOUT_S)
        message = EmailMessage(
            notification.subject, notification.text, self._sender, self._addresses, connection=server
        )
        try:
            message.send()
        except smtplib.SMTPResponseException as error:
            raise NotSent(f"the mail server answered {error.smtp_code}") from error
        except smtplib.SMTPException as error:
            raise NotSent(f"the mail server refused it ({type(error).__name__})") from error
        except OSError as error:
            raise NotSent(f"the mail server is not reachable: {error.strerror or type(error).__name__}") from error


class Webhook:
    """A POST of JSON. With `secret` it carries the time and an HMAC-SHA256 of time and body, see `signature`."""

    def __init__(self, url: SplitResult, secret: str, clock: Callable[[], float] = time.time) -> None:
        mark = hashlib.sha256(url.geturl().encode()).hexdigest()[:_MARK_CHARACTERS]
        self.name = f"{url.scheme}://{url.hostname} #{mark}"
        self._url = url
        self._secret = secret
        self._clock = clock

    def send(self, notification: Notification) -> None:
        body = notification.document()
        headers = {}
        if self._secret:
            at_s = str(int(self._clock()))
            headers = {"X-Exchange-Time": at_s, "X-Exchange-Signature": signature(self._secret, at_s, body)}
        try:
            post(self._url, TIMEOUT_S, body, headers)
        except HttpFailed as error:
            raise NotSent(str(error)) from error


def signature(secret: str, at_s: str, body: bytes) -> str:
    """Hexadecimal HMAC-SHA256, keyed with `secret`, of the time (seconds since 1970), a full stop and the body."""
    return hmac.new(secret.encode(), at_s.encode() + b"." + body, hashlib.sha256).hexdigest()


def channels() -> list[Channel]:
    """The channels of the settings, which the system checks have accepted."""
    found: list[Channel] = []
    if settings.ALARM_EMAILS:
        found.append(Email(settings.ALARM_EMAILS, settings.DEFAULT_FROM_EMAIL))
    found.extend(Webhook(urlsplit(url), settings.ALARM_WEBHOOK_SECRET) for url in settings.ALARM_WEBHOOKS)
    return found
