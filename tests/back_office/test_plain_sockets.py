"""Every page warns an operator whose exchange runs without keys."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.back_office.access.test_access import PAGES
from tests.back_office.conftest import words

WARNING = "Sockets without keys (PLAIN_SOCKETS)"
FILES = [page for page in PAGES if page.endswith(("/csv/", "/export/"))]
FRAGMENTS = [
    reverse("office:live"),
    reverse("office:request_state", args=[1]),
    reverse("office:jump") + "?q=BTC-USD",
    *FILES,
]
"""Parts of the overview and of a request, a redirect, and files."""
WHOLE_PAGES = [
    *(page for page in PAGES if page not in FRAGMENTS),
    reverse("admin:auth_user_changelist"),
    reverse("admin:auth_user_add"),
]


@pytest.mark.parametrize("page", WHOLE_PAGES)
def test_a_page_warns_of_plain_sockets(operator: Client, settings: Settings, page: str) -> None:
    settings.PLAIN_SOCKETS = False
    assert WARNING not in words(operator.get(page))
    settings.PLAIN_SOCKETS = True
    assert WARNING in words(operator.get(page))


def test_the_login_page_warns_of_plain_sockets(client: Client, settings: Settings) -> None:
    login = reverse("admin:login")
    settings.PLAIN_SOCKETS = False
    assert WARNING not in words(client.get(login))
    settings.PLAIN_SOCKETS = True
    assert WARNING in words(client.get(login))
