"""Logins are logged, and password guessing is limited: django-axes counts failures by account and address."""

import ipaddress
from typing import Any

import structlog
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.http import HttpRequest, HttpResponse

from back_office import outages

log = structlog.get_logger(__name__)

SHOWN_CHARACTERS = 150
IPV6_NETWORK_BITS = 64
"""A customer gets a network of at least this size and can use any address in it, so the network is what counts."""


def connect() -> None:
    """Logs logins from now on."""
    user_login_failed.connect(_log_failure, dispatch_uid="office-login-failed")
    user_logged_in.connect(_log_login, dispatch_uid="office-logged-in")
    user_locked_out.connect(_log_lock, dispatch_uid="office-login-locked")


def client_address(request: HttpRequest) -> str | None:
    """The client's address: that of the connection, or the last one in the header WEB_CLIENT_ADDRESS_HEADER.

    The proxy appends the last address in the header, so the client cannot forge it. For IPv6 the result is the address
    of the network. None if the server does not know the client's address.
    """
    connection = request.META.get("REMOTE_ADDR") or None
    if not settings.WEB_CLIENT_ADDRESS_HEADER:
        return _network(connection) if connection else None
    named = request.headers.get(settings.WEB_CLIENT_ADDRESS_HEADER, "").rpartition(",")[2].strip()
    return _network(named) or (_network(connection) if connection else None)


def _network(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_NETWORK_BITS), strict=False).network_address)


def locked_page(
    request: HttpRequest, original: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """Answer to a login if this pair of account and address is locked; the same whether or not the account exists."""
    sentence = (
        f"There were too many wrong passwords for this account from your address. Try again in "
        f"{settings.LOGIN_LOCK_MINUTES} minutes, or ask the site's operator to unlock the account: "
        "manage.py axes_reset_username."
    )
    page = outages.plain_page(request, "Login locked for a while", sentence, 429)
    page["Retry-After"] = str(settings.LOGIN_LOCK_MINUTES * 60)
    return page


def _log_failure(
    sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: object
) -> None:
    log.warning("site.login_failed", user=_shown(credentials.get("username")), address=_from(request))


def _log_login(sender: object, request: HttpRequest, user: AbstractBaseUser, **kwargs: object) -> None:
    log.info("site.logged_in", user=_shown(user.get_username()), address=_from(request))


def _log_lock(sender: object, request: HttpRequest, username: str | None, **kwargs: object) -> None:
    if getattr(request, "axes_failures_since_start", None):  # not for every further attempt
        log.warning(
            "site.login_locked", user=_shown(username), address=_from(request), minutes=settings.LOGIN_LOCK_MINUTES
        )


def _shown(name: object) -> str:
    return str(name or "")[:SHOWN_CHARACTERS]


def _from(request: HttpRequest | None) -> str:
    return (client_address(request) if request is not None else None) or ""
