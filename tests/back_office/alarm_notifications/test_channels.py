import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from pytest_django import Settings

from back_office.alarm_notifications.channels import NotSent, channels
from back_office.alarm_notifications.notification import Event, Notification
from exchange_site.operations.free_addresses import free_ports
from tests.back_office.alarm_notifications.conftest import Hook, MailServer

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SILENT = Notification(Event.CRITICAL, "settlement_silent", "Settlement has been silent for 9 s.", 7, NOON)


def test_without_settings_there_is_no_channel() -> None:
    assert channels() == []


def test_a_mail_tells_what_happened_since_when_and_by_which_machine(mail: MailServer) -> None:
    (channel,) = channels()
    channel.send(SILENT)
    (message,) = mail.messages
    assert message["Subject"] == "[critical] Exchange: settlement silent"
    assert message["From"] == "exchange@exchange.example"
    assert message["To"] == "ops@exchange.example, night@exchange.example"
    lines = str(message.get_payload()).splitlines()
    assert lines[:3] == ["Settlement has been silent for 9 s.", "", "Raised: 2026-01-01T12:00:00Z"]
    assert lines[3].startswith("Sent by: ")


def test_a_mail_that_the_server_refuses_is_not_sent(mail: MailServer) -> None:
    mail.refusal = "451 Later, please: the password is hunter2"
    (channel,) = channels()
    with pytest.raises(NotSent, match=r"^the mail server answered 451$"):
        channel.send(SILENT)


def test_a_mail_server_that_is_away_is_named_as_the_reason(settings: Settings, mail: MailServer) -> None:
    (settings.EMAIL_PORT,) = free_ports(1)
    (channel,) = channels()
    with pytest.raises(NotSent, match=r"^the mail server is not reachable: Connection refused$"):
        channel.send(SILENT)


def test_a_webhook_gets_json_that_chat_services_show_too(hook: Hook) -> None:
    (channel,) = channels()
    channel.send(SILENT)
    ((headers, body),) = hook.requests
    assert headers["Content-Type"] == "application/json"
    assert "X-Exchange-Signature" not in headers
    told = json.loads(body)
    assert told.pop("host")
    assert told == {
        "event": "critical",
        "kind": "settlement_silent",
        "message": "Settlement has been silent for 9 s.",
        "alarm": 7,
        "raised_at": "2026-01-01T12:00:00Z",
        "cleared_at": None,
        "text": "[critical] Exchange: settlement silent\nSettlement has been silent for 9 s.",
    }


def test_with_a_secret_the_receiver_can_check_time_and_body(hook: Hook, settings: Settings) -> None:
    settings.ALARM_WEBHOOK_SECRET = "between us"
    (channel,) = channels()
    channel.send(SILENT)
    ((headers, body),) = hook.requests
    signed = headers["X-Exchange-Time"].encode() + b"." + body
    assert headers["X-Exchange-Signature"] == hmac.new(b"between us", signed, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_answers_with_another_status_has_not_accepted(hook: Hook, status: int) -> None:
    hook.status = status
    (channel,) = channels()
    with pytest.raises(NotSent, match=rf"^it answered with status {status}$"):
        channel.send(SILENT)


def test_the_name_of_a_webhook_shows_no_path_and_differs_for_each_url(hook: Hook, settings: Settings) -> None:
    settings.ALARM_WEBHOOKS = [hook.url, hook.url + "2"]
    names = [channel.name for channel in channels()]
    assert len(set(names)) == 2
    assert all(name.startswith("http://127.0.0.1 #") and "secret-path" not in name for name in names)
