"""Health and metrics endpoints of the web, and health checks."""

import json
from collections.abc import Callable

import pytest
from django.db import OperationalError
from django.test import Client
from prometheus_client import REGISTRY
from pytest_django import Settings

from exchange_site.operations import health
from exchange_site.operations.health import Check, answer, timed
from settlement import metrics
from settlement.stores.base import StoreUnavailable
from settlement.stores.sql.store import SqlStore


def failing(error: Exception) -> Callable[[], object]:
    def ask() -> object:
        raise error

    return ask


def test_all_checks_ok_is_200() -> None:
    status, body = answer({"store": lambda: Check(True, 1.2), "feed": lambda: Check(True)})

    assert status == 200
    assert json.loads(body) == {
        "status": "ok",
        "checks": {"store": {"ok": True, "latency_ms": 1.2}, "feed": {"ok": True, "latency_ms": 0.0}},
    }


def test_one_check_that_is_not_ok_is_503() -> None:
    status, body = answer({"store": lambda: Check(False, 3.0), "feed": lambda: Check(True)})

    assert status == 503
    assert json.loads(body)["status"] == "unavailable"


def test_a_failed_optional_check_degrades_and_stays_200() -> None:
    status, body = answer({"store": lambda: Check(True, 1)}, {"broker": lambda: Check(False, 2)})
    assert status == 200
    assert json.loads(body)["status"] == "degraded"
    assert json.loads(body)["checks"]["broker"] == {"ok": False, "latency_ms": 2}

    status, body = answer({"store": lambda: Check(False, 1)}, {"broker": lambda: Check(True, 2)})
    assert (status, json.loads(body)["status"]) == (503, "unavailable")


def test_a_timed_check_reports_a_failure_without_its_reason() -> None:
    probe = timed(failing(OperationalError("could not connect to 10.1.2.3 as admin")), OperationalError)
    status, body = answer({"store": probe})

    assert status == 503
    assert b"10.1.2.3" not in body
    assert json.loads(body)["checks"]["store"]["ok"] is False


def test_a_timed_check_fails_if_the_result_is_false() -> None:
    assert timed(lambda: False)().ok is False
    assert timed(lambda: None)().ok is True
    assert timed(lambda: None)().latency_ms >= 0


def test_an_unexpected_exception_is_not_caught() -> None:
    with pytest.raises(ZeroDivisionError):
        timed(failing(ZeroDivisionError()), OperationalError)()


def test_live_makes_no_check(client: Client) -> None:
    response = client.get("/health/live")

    assert response.status_code == 200
    assert response.json() == {"status": "ok", "checks": {}}
    assert response["Cache-Control"].startswith("max-age=0")


@pytest.mark.django_db
def test_ready_checks_the_store(client: Client) -> None:
    response = client.get("/health/ready")

    assert response.status_code == 200
    assert response.json()["checks"]["store"]["ok"] is True
    assert response.json()["checks"]["database"]["ok"] is True


@pytest.mark.django_db
def test_ready_reports_an_unreachable_broker_and_stays_ready(
    client: Client, settings: Settings, free_port: Callable[[], int]
) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert not response.json()["checks"]["broker"]["ok"]


@pytest.mark.django_db
def test_ready_is_503_while_the_store_does_not_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqlStore, "ping", lambda self: failing(StoreUnavailable("no answer from 10.1.2.3"))())

    response = client.get("/health/ready")

    assert response.status_code == 503
    assert {name: check["ok"] for name, check in response.json()["checks"].items()} == {
        "store": False,
        "database": True,
        "settlement": False,  # no watch runs here, so nothing is known
        "background": False,
        "actions": False,
    }
    assert b"10.1.2.3" not in response.content


@pytest.mark.django_db
def test_the_database_check_reads_a_real_table() -> None:
    assert health.database_answers() is True


@pytest.mark.parametrize("page", ["/health/live", "/health/ready", "/metrics"])
def test_health_and_metrics_accept_only_get_and_head(client: Client, page: str) -> None:
    assert client.post(page).status_code == 405


@pytest.mark.django_db
def test_metrics_are_prometheus_text(client: Client) -> None:
    response = client.get("/metrics")

    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain")
    assert b"python_info" in response.content


@pytest.mark.django_db
def test_web_metrics_contain_its_statements_and_alarms_but_no_metrics_of_the_settlement_worker(client: Client) -> None:
    _ = client.get("/health/ready")  # which asks the store
    names = {line.split("{")[0].split()[0] for line in client.get("/metrics").content.decode().splitlines()}
    ours = {name for name in names if name.startswith(("settlement_", "engine_"))}

    assert {name.rpartition("_")[0] for name in ours if name.startswith("settlement_db_latency")}
    assert {name for name in ours if not name.startswith(("settlement_db_", "settlement_alarm"))} == set()


def test_metrics_of_the_settlement_worker_are_registered_while_it_runs() -> None:
    with metrics.of_worker():
        assert REGISTRY.get_sample_value("settlement_store_up") is not None
    assert REGISTRY.get_sample_value("settlement_store_up") is None


@pytest.mark.django_db
def test_every_other_page_needs_a_login(client: Client) -> None:
    for page in ("/", "/admin/", "/admin/auth/user/"):
        response = client.get(page)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/")


@pytest.mark.django_db
def test_an_administrator_can_open_the_back_office(admin_client: Client) -> None:
    assert admin_client.get("/", follow=True).redirect_chain == [("/admin/", 302)]
    assert admin_client.get("/admin/").status_code == 200
