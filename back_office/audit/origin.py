"""Who acts, and from where: the request that this thread answers, or the command that runs."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from django.http import HttpRequest

from back_office.access.logins import client_address

_request: ContextVar[HttpRequest | None] = ContextVar("audited_request", default=None)

COMMAND_LINE = "command line"


class Origin(NamedTuple):
    actor: str  # name of an account, "os:NAME" for a command, "" for somebody who has not logged in
    address: str


def of(request: HttpRequest) -> Origin:
    user = getattr(request, "user", None)
    actor = user.get_username() if user is not None and user.is_authenticated else ""
    return Origin(actor, client_address(request) or "")


def current() -> Origin:
    request = _request.get()
    # No account has a name with a colon, so the name of an account of the machine is not taken for one of the site.
    return of(request) if request is not None else Origin(f"os:{_machine_account()}", COMMAND_LINE)


@contextmanager
def answering(request: HttpRequest) -> Iterator[None]:
    """`current` is the origin of this request until the block ends."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def _machine_account() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container can run under a number without a name
        return str(os.getuid())
