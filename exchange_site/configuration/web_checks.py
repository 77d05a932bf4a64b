"""System checks of the settings of the web: who reaches its pages, and how its secrets could be guessed."""

import re

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from back_office.access.roles import EVERYBODY, ROLES
from back_office.actions.kinds import Kind
from exchange_site.configuration.addresses import AddressError, parse_host_port
from exchange_site.configuration.check_tags import SETTINGS, WEB, checked

SECRET_KEY_CHARACTERS = 32  # a shorter key could be guessed
SECRET_KEY_DISTINCT = 8  # 32 random digits have fewer different ones once in a million keys
DJANGO_EXAMPLE = "django-insecure-"


@checked(SETTINGS)
def actions_of_two_persons_exist() -> list[CheckMessage]:
    return [
        Error(f"TWO_PERSON_ACTIONS names {name!r}.", hint=f"Use {', '.join(Kind)}.", id="exchange.E028")
        for name in settings.TWO_PERSON_ACTIONS
        if name not in list(Kind)
    ]


@checked(SETTINGS)
def roles_with_a_second_factor_exist() -> list[CheckMessage]:
    known = (*ROLES, EVERYBODY)
    return [
        Error(f"SECOND_FACTOR_ROLES names {name!r}.", hint=f"Use {', '.join(known)}.", id="exchange.E029")
        for name in settings.SECOND_FACTOR_ROLES
        if name not in known
    ]


@checked(SETTINGS)
def debug_pages_stay_on_this_machine() -> list[CheckMessage]:
    """Django's error pages contain source text and settings."""
    if not settings.DEBUG:
        return []
    try:
        is_open = not parse_host_port(settings.WEB_ADDRESS).is_loopback
    except AddressError:  # reported by http_addresses_are_valid
        return []
    if not is_open:
        return []
    hint = "Unset DEBUG, or use a loopback address."
    text = f"DEBUG shows source text to everybody who reaches WEB_ADDRESS {settings.WEB_ADDRESS}."
    return [Error(text, hint=hint, id="exchange.E021")]


@checked(SETTINGS)
def hosts_are_named() -> list[CheckMessage]:
    """With any host name accepted, a request chooses the addresses of links and redirects that others may follow."""
    if "*" not in settings.ALLOWED_HOSTS:
        return []
    hint = "Name the hosts of the site, such as exchange.example."
    return [Error("ALLOWED_HOSTS accepts every host name (*).", hint=hint, id="exchange.E022")]


@checked(SETTINGS)
def header_of_the_proxy_is_a_name() -> list[CheckMessage]:
    name = settings.WEB_CLIENT_ADDRESS_HEADER
    if not name or re.fullmatch(r"[A-Za-z0-9-]{1,64}", name):
        return []
    hint = "Give the name of the header that the proxy sets, such as X-Forwarded-For."
    return [Error(f"WEB_CLIENT_ADDRESS_HEADER is {name!r}.", hint=hint, id="exchange.E023")]


@checked(SETTINGS)
def secret_of_api_keys_is_strong() -> list[CheckMessage]:
    """Not set: SECRET_KEY, which has a check of its own. The secret is not shown."""
    weakness = _weakness(settings.API_KEYS_SECRET) if settings.API_KEYS_SECRET else ""
    hint = f"Use at least {SECRET_KEY_CHARACTERS} random characters."
    return [Error(f"API_KEYS_SECRET {weakness}.", hint=hint, id="exchange.E026")] if weakness else []


@checked(WEB, deploy=True)
def secret_key_is_strong() -> list[CheckMessage]:
    """The key is not shown."""
    try:
        weakness = _weakness(settings.SECRET_KEY)
    except ImproperlyConfigured:  # raised by Django if it is empty
        weakness = "is not set"
    hint = f"Use at least {SECRET_KEY_CHARACTERS} random characters; `make run` creates a key."
    return [Error(f"SECRET_KEY {weakness}.", hint=hint, id="exchange.E011")] if weakness else []


def _weakness(key: str) -> str:
    """Why the key can be guessed, "" if there is no sign of it."""
    if len(key) < SECRET_KEY_CHARACTERS:
        return f"has only {len(key)} characters"
    if len(set(key)) < SECRET_KEY_DISTINCT:
        return f"has only {len(set(key))} different characters"
    if key in (key + key)[1:-1]:
        return "repeats a shorter text"
    if key.startswith(DJANGO_EXAMPLE):
        return "was made by Django's startproject for development only"
    return ""
