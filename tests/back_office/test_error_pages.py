"""Pages for errors outside our own views: in the common layout for operators, plain for everybody else."""

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory

from back_office import invalid_requests, outages
from tests.back_office.conftest import html, words

FRAME = 'role="search"'
"""In the common layout only."""


@pytest.mark.django_db
def test_an_operator_sees_what_is_missing_in_the_common_layout(operator: Client) -> None:
    response = operator.get("/admin/nothing/")
    assert response.status_code == 404
    assert "There is no page at this address." in words(response)
    assert FRAME in html(response)


@pytest.mark.django_db
def test_a_form_without_its_token_says_what_to_do() -> None:
    response = Client(enforce_csrf_checks=True).post("/admin/login/")
    assert response.status_code == 403
    assert "This form has expired, or the browser sends no cookies. Go back, reload the page" in words(response)


@pytest.mark.django_db
def test_a_visitor_sees_a_plain_page() -> None:
    response = Client().get("/nothing/")
    assert response.status_code == 404
    assert "There is no page at this address." in words(response)
    assert FRAME not in html(response)
    assert "back_office/plain" in html(response)


def test_a_bug_is_a_page_without_its_details() -> None:
    try:
        raise KeyError("a secret")
    except KeyError:
        response = outages.server_error(RequestFactory().get("/"))
    assert response.status_code == 500
    assert "The cause is in the web's log." in words(response)
    assert "secret" not in html(response)


def test_without_the_database_the_page_is_plain() -> None:
    class Away:
        @property
        def is_active(self) -> bool:
            raise OperationalError("connection refused")

    request = RequestFactory().get("/nothing/")
    request.user = Away()  # type: ignore[assignment]
    response = invalid_requests.not_found(request, Exception())
    assert response.status_code == 404
    assert FRAME not in html(response)
