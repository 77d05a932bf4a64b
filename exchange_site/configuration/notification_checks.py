"""System checks of the settings of notifications: who is told of alarms, and how."""

from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from exchange_site.configuration.check_tags import SETTINGS, checked
from settlement.alarms.rules import Severity


@checked(SETTINGS)
def mail_is_complete() -> list[CheckMessage]:
    found: list[CheckMessage] = []
    for address in settings.ALARM_EMAILS:
        try:
            validate_email(address)
        except ValidationError:
            hint = "List addresses, separated by commas: ops@exchange.example."
            found.append(Error(f"ALARM_EMAILS: {address!r} is not an address.", hint=hint, id="exchange.E040"))
    if settings.ALARM_EMAILS and not settings.EMAIL_HOST and not found:
        hint = "For example smtp+tls://USER:PASSWORD@mail.exchange.example:587."
        found.append(Error("ALARM_EMAILS is set, but EMAIL_URL is not.", hint=hint, id="exchange.E040"))
    return found


@checked(SETTINGS)
def webhooks_are_urls() -> list[CheckMessage]:
    """A webhook is named by its number, because its URL may be a secret."""
    return [
        Error(
            f"ALARM_WEBHOOKS: webhook {number} is not a URL with https:// or http:// and without a user name.",
            hint="For example https://hooks.exchange.example/alarms.",
            id="exchange.E041",
        )
        for number, url in enumerate(settings.ALARM_WEBHOOKS, 1)
        if not _is_webhook(url)
    ]


@checked(SETTINGS)
def lowest_severity_is_known() -> list[CheckMessage]:
    if settings.ALARM_NOTIFICATION_SEVERITY in list(Severity):
        return []
    text = f"ALARM_NOTIFICATION_SEVERITY has the unknown value {settings.ALARM_NOTIFICATION_SEVERITY!r}."
    return [Error(text, hint="Use warning or critical.", id="exchange.E042")]


def _is_webhook(text: str) -> bool:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return False
    is_clean = text.isascii() and text.isprintable() and " " not in text
    return is_clean and url.scheme in ("http", "https") and bool(url.hostname) and url.username is None
