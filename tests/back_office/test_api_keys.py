"""API keys in the back office: the list, making one, revoking one."""

import json
import re
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from structlog.testing import capture_logs

from back_office.models import AuditRecord
from gateway.keys.commandline import secret_cipher
from gateway.keys.key import Permission
from gateway.keys.key_ring import KeyRing
from gateway.keys.stored_keys import Made, Wanted, make_key, networks
from gateway.models import StoredApiKey
from tests.back_office.conftest import html, next_page, refusal, words
from tests.gateway.running_gateway import running_gateway
from tests.gateway.ws_client import WsClient, hmac_signer
from tests.matching.small_exchange import until

LIST, NEW, CREATE = (reverse(f"office:{name}") for name in ("api_keys", "new_api_key", "create_api_key"))

pytestmark = pytest.mark.django_db


def pem() -> str:
    public = Ed25519PrivateKey.generate().public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def hidden_name(client: Client) -> str:
    found = re.search(r'name="name" value="([^"]+)"', html(client.get(NEW)))
    assert found
    return found[1]


def form(client: Client, **changed: Any) -> dict[str, Any]:
    values = {
        "name": hidden_name(client),
        "account": "7",
        "label": "maker bot",
        "permissions": ["read", "trade"],
        "networks": "192.0.2.7, 198.51.100.0/24",
        "kind": "secret",
        "public_key": "",
        "reason": "ticket 12",
    }
    return values | changed


def shown(page: str, identity: str) -> str:
    found = re.search(rf'id="{identity}">([^<]+)<', page)
    assert found, page
    return found[1]


def newest_record() -> AuditRecord:
    record = AuditRecord.objects.order_by("-number").first()
    assert record
    return record


def made_key(account: int = 7, label: str = "bot") -> Made:
    wanted = Wanted(account, frozenset(Permission), networks=networks(["192.0.2.0/24"]), label=label)
    return make_key(wanted, secret_cipher())


def revoke(number: int) -> str:
    return reverse("office:revoke_api_key", args=[number])


def test_without_keys_the_list_says_so(operator: Client) -> None:
    assert "There are no API keys yet." in words(operator.get(LIST))


def test_the_list_shows_every_key_without_its_secret(operator: Client) -> None:
    first, second = made_key(7), made_key(8, "")
    call_command("revoke_api_key", first.name)
    page = words(operator.get(LIST))
    assert f"{first.name[:12]}… 7 bot hmac read, trade 192.0.2.0/24" in page
    assert page.index(second.name[:12]) < page.index(first.name[:12])
    assert re.search(rf"{second.name[:12]}… 8 – hmac .* never valid", page)
    assert re.search(r"never revoked 20\d\d-", page)
    for made in (first, second):
        assert made.secret is not None
        assert made.secret not in html(operator.get(LIST))
    assert first.name[:12] not in words(operator.get(LIST, {"account": "8"}))
    assert "No matching API keys." in words(operator.get(LIST, {"account": "9"}))
    assert "Account must be a whole number" in refusal(operator.get(LIST, {"account": "x"}))


def test_the_list_has_pages(operator: Client) -> None:
    for account in range(60):
        made_key(account)
    first = operator.get(LIST)
    older = next_page(first)
    assert older is not None
    assert html(first).count('<tr>\n                        <td><a href="/admin/api_keys/') == 50
    assert html(operator.get(LIST + older)).count('<td><a href="/admin/api_keys/') == 10


def test_a_secret_is_shown_once_and_stored_nowhere_in_clear(operator: Client, data_dir: Any) -> None:
    with capture_logs() as lines:
        response = operator.post(CREATE, form(operator))
    page = html(response)
    name, secret = shown(page, "made-name"), shown(page, "made-secret")
    assert (response.status_code, len(name), len(secret)) == (200, 64, 64)
    assert "no-store" in response["Cache-Control"]
    key = StoredApiKey.objects.get(name=name)
    assert (key.account, key.type, key.permissions, key.label) == (7, "hmac", "read,trade", "maker bot")
    assert key.networks == "192.0.2.7/32,198.51.100.0/24"
    assert secret_cipher().decrypt(name, bytes(key.material)) == secret.encode()
    record = newest_record()
    assert (record.action, record.outcome, record.target) == ("api_key.create", "done", f"api_key:{name}")
    assert (record.actor, record.reason) == ("operator", "ticket 12")
    assert json.loads(record.after) == {
        "account": 7,
        "type": "hmac",
        "permissions": ["read", "trade"],
        "networks": ["192.0.2.7/32", "198.51.100.0/24"],
        "label": "maker bot",
    }
    assert {"event": "site.api_key_created", "log_level": "info", "key": name, "account": 7, "by": "operator"} in lines
    assert secret not in json.dumps(lines, default=str)
    assert secret not in json.dumps([one.get_decoded() for one in Session.objects.all()])
    for page_later in (LIST, reverse("office:api_key", args=[key.pk]), reverse("office:audit_log")):
        assert secret not in html(operator.get(page_later))
    assert secret.encode() not in everything_stored()


def everything_stored() -> bytes:
    """The values of every row of the site's database."""
    with connection.cursor() as cursor:
        found = []
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            found += [repr(row).encode() for row in cursor.fetchall()]
        assert any(b"audit" in row or b"api_key" in row for row in found)
        return b"\n".join(found)


def test_a_public_key_has_no_secret(operator: Client) -> None:
    response = operator.post(CREATE, form(operator, kind="public_key", public_key=pem(), networks="", label=""))
    page = html(response)
    assert (response.status_code, "made-secret" in page) == (200, False)
    assert StoredApiKey.objects.get(name=shown(page, "made-name")).type == "ed25519"


def test_a_form_that_is_sent_twice_makes_one_key(operator: Client) -> None:
    values = form(operator)
    first = operator.post(CREATE, values)
    second = operator.post(CREATE, values, follow=True)
    assert "made-secret" in html(first)
    assert "has already been made. Its secret is not shown again." in words(second)
    assert StoredApiKey.objects.count() == 1
    assert AuditRecord.objects.filter(action="api_key.create").count() == 1


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"reason": " "}, "Say why: the reason is kept in the audit log."),
        ({"account": ""}, "Give the number of the account."),
        ({"account": "-1"}, "Account must be a whole number"),
        ({"permissions": []}, "A key needs at least one permission"),
        ({"permissions": ["withdraw"]}, "A permission is read or trade."),
        ({"networks": "example.com"}, "is neither an IP address nor a network"),
        ({"networks": "192.0.2.1 " * 31}, "A key has at most 30 addresses."),
        ({"label": "x" * 101}, "A label has at most 100 characters."),
        ({"label": "a\0b"}, "A label has no line breaks and no other control characters."),
        ({"kind": ""}, "Choose a secret or a public key."),
        ({"kind": "public_key"}, "Paste the trader&#x27;s public key."),
        ({"kind": "public_key", "public_key": "nonsense"}, "This is not a public key in PEM form"),
        ({"kind": "public_key", "public_key": "x" * 4001}, "A public key has at most 4000 characters."),
        ({"kind": "secret", "public_key": "nonsense"}, "A key with a secret has no public key"),
        ({"name": "forged"}, "This form is too old, or it is not yours."),
    ],
)
def test_a_wrong_value_is_named_and_the_form_keeps_the_others(
    operator: Client, changed: dict[str, Any], sentence: str
) -> None:
    response = operator.post(CREATE, form(operator, **changed))
    assert response.status_code == 400
    assert sentence in html(response)
    if "networks" not in changed:
        assert 'value="192.0.2.7, 198.51.100.0/24"' in html(response)
    assert not StoredApiKey.objects.exists()
    assert not AuditRecord.objects.filter(action="api_key.create").exists()


def test_a_form_of_somebody_else_makes_no_key(operator: Client) -> None:
    other = Client()
    other.force_login(User.objects.create_superuser("other"))
    assert other.post(CREATE, form(operator)).status_code == 400
    assert not StoredApiKey.objects.exists()


def test_a_key_is_revoked_with_a_reason_once(operator: Client) -> None:
    made = made_key()
    number = StoredApiKey.objects.get().pk
    assert "Say why" in words(operator.post(revoke(number), follow=True))
    assert StoredApiKey.objects.get().revoked_at is None
    assert "The key has been revoked." in words(operator.post(revoke(number), {"reason": "leaked"}, follow=True))
    revoked_at = StoredApiKey.objects.get().revoked_at
    record = newest_record()
    assert (record.action, record.outcome, record.reason) == ("api_key.revoke", "done", "leaked")
    assert record.target == f"api_key:{made.name}"
    again = words(operator.post(revoke(number), {"reason": "leaked"}, follow=True))
    assert "The key has already been revoked." in again
    assert StoredApiKey.objects.get().revoked_at == revoked_at
    assert newest_record().outcome == "failed"
    assert "Revoke</button>" not in html(operator.get(reverse("office:api_key", args=[number])))


def test_who_only_sees_keys_is_offered_nothing_to_change(db: None) -> None:
    made_key()
    number = StoredApiKey.objects.get().pk
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.add(*clerk.user_permissions.model.objects.filter(codename="view_storedapikey"))
    client = Client()
    client.force_login(clerk)
    assert 'id="new-key"' not in html(client.get(LIST))
    assert "Revoke</button>" not in html(client.get(reverse("office:api_key", args=[number])))
    for address in (NEW, CREATE, revoke(number)):
        method = client.get if address == NEW else client.post
        assert method(address).status_code == 403


def test_an_unknown_key_is_not_found(operator: Client) -> None:
    assert operator.get(reverse("office:api_key", args=[99])).status_code == 404
    assert operator.post(revoke(99), {"reason": "x"}).status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_revocation_ends_a_live_session_within_a_second(transactional_db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    page = html(client.post(CREATE, form(client, account="1", networks="")))
    name, secret = shown(page, "made-name"), shown(page, "made-secret")
    ring = KeyRing(secret_cipher())
    ring.start()
    try:
        with running_gateway(ring=ring) as gateway:
            url = f"{gateway.stream_url}/ws-api/v3"
            with WsClient(url, name, hmac_signer(secret)) as trader:
                subscribed = trader.signed("userDataStream.subscribe.signature")
                assert subscribed["status"] == 200, subscribed
                began_s = time.monotonic()
                client.post(revoke(StoredApiKey.objects.get().pk), {"reason": "leaked"})
                ended = trader.next_events(1)[0]
                assert time.monotonic() - began_s < 1
                assert ended["event"]["e"] == "eventStreamTerminated"
                refused = trader.signed("account.status")
                assert (refused["status"], refused["error"]["code"]) == (401, -2015)
        until(lambda: ring.find(name) is None, "the revocation")
    finally:
        ring.stop()
