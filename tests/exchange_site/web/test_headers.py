"""Headers of every response, Django's own checks of production settings, and compression."""

import gzip
import os
import subprocess
import sys

import pytest
from django.conf import settings as site
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from back_office.invalid_requests import MAX_QUERY_LENGTH

ADDRESSES = ["/admin/login/", "/admin/nowhere/", "/health/live", f"/admin/?q={'x' * (MAX_QUERY_LENGTH + 1)}"]


@pytest.mark.django_db
@pytest.mark.parametrize("address", ADDRESSES)
def test_every_response_has_the_headers(client: Client, address: str) -> None:
    headers = client.get(address).headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert "'unsafe-inline'" not in headers["Content-Security-Policy"]
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


@pytest.mark.django_db
def test_pages_are_compressed_with_a_length_that_varies(operator: Client) -> None:
    """Django adds random bytes to the compressed page, so that its length does not tell the page's content."""
    answers = [operator.get("/admin/auth/user/", headers={"accept-encoding": "gzip"}) for _ in range(12)]
    assert {answer.headers["Content-Encoding"] for answer in answers} == {"gzip"}
    plain = gzip.decompress(answers[0].content)
    assert len(answers[0].content) < len(plain) / 3
    assert len({len(answer.content) for answer in answers}) > 1


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.mark.django_db
def test_a_token_of_a_form_is_masked_anew_for_every_page(client: Client) -> None:
    """So a token that is sent again and again, compressed, cannot be guessed from the lengths of the pages."""
    tokens = set()
    for _ in range(2):
        answer = client.get("/admin/login/")
        assert answer.context is not None
        tokens.add(str(answer.context["csrf_token"]))
    assert len(tokens) == 2


def deployment_check(**changed: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "exchange_site.settings", **changed},
        cwd=site.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.processes
def test_djangos_deployment_check_is_silent_with_production_settings() -> None:
    key = "Zk3vX9qLw7Rt2Yb8Nc5Md1Hf6Jg4Ps0-Ue_Va-Wi-Xo-Qy-T7Bz"
    production = {"PLAIN_SOCKETS": "false", "SECRET_KEY": key, "ALLOWED_HOSTS": "exchange.example"}
    done = deployment_check(**production, WEB_HTTPS="true")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("System check identified no issues")
    assert "security.W008" in deployment_check(**production, WEB_HTTPS="false").stderr


def test_only_health_and_metrics_are_served_without_tls(client: Client, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 60
    settings.SECURE_REDIRECT_EXEMPT = [r"^health/", r"^metrics$"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    assert client.get("/admin/login/").headers["Location"] == "https://testserver/admin/login/"
    assert client.get("/health/live").status_code == 200
    answer = client.get("/health/live", headers={"x-forwarded-proto": "https"})
    assert answer.headers["Strict-Transport-Security"] == "max-age=60"
