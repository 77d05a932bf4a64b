import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.management import CommandError, call_command

from back_office.audit.verification import verify
from back_office.models import AuditHead, AuditRecord

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    written = StringIO()
    call_command(*arguments, stdout=written)
    return written.getvalue()


def create(*arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("create_api_key", "--json", *arguments))
    return document


def listed() -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads(run("list_api_keys", "--json"))["keys"]
    return keys


def refusal(*arguments: str) -> tuple[str, int]:
    with pytest.raises(CommandError) as refused:
        run(*arguments)
    return str(refused.value), refused.value.returncode


def test_a_key_with_a_secret_is_made_listed_and_revoked() -> None:
    made = create(
        "--account", "7", "--permissions", "read,trade", "--ip", "192.0.2.1", "2001:db8::/32", "--label", "bot"
    )
    assert (len(made["api_key"]), len(made["secret"]), made["type"]) == (64, 64, "hmac")
    (row,) = listed()
    assert (row["api_key"], row["account"], row["permissions"]) == (made["api_key"], 7, ["read", "trade"])
    assert (row["ip"], row["label"], row["revoked_at"]) == (["192.0.2.1/32", "2001:db8::/32"], "bot", None)
    assert made["secret"] not in json.dumps(row)
    assert run("revoke_api_key", made["api_key"]) == f"revoked {made['api_key']}\n"
    assert listed()[0]["revoked_at"] is not None
    assert "revoked" in run("list_api_keys")


def test_each_key_that_a_command_makes_or_revokes_is_in_the_audit_log() -> None:
    made = create("--account", "7", "--label", "bot", "--reason", "ticket 12")
    for _ in range(2):
        run("revoke_api_key", made["api_key"], "--reason", "lost")
    found = list(AuditRecord.objects.order_by("number"))
    assert [(record.action, record.outcome, record.reason) for record in found] == [
        ("api_key.create", "done", "ticket 12"),
        ("api_key.revoke", "done", "lost"),
        ("api_key.revoke", "failed", "lost"),
    ]
    assert {(record.address, record.target) for record in found} == {("command line", f"api_key:{made['api_key']}")}
    assert all(record.actor.startswith("os:") for record in found)
    assert json.loads(found[0].after)["account"] == 7
    assert made["secret"] not in found[0].after
    assert verify([]).ok


def test_without_a_record_no_key_is_made_or_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    made = create("--account", "7")
    AuditHead.objects.all().delete()
    for arguments in (["create_api_key", "--account", "7"], ["revoke_api_key", made["api_key"]]):
        sentence, code = refusal(*arguments)
        assert "The audit log has records but no head" in sentence
        assert code == 2
    assert [key["revoked_at"] for key in listed()] == [None]


def test_the_text_says_that_the_secret_is_not_shown_again() -> None:
    text = run("create_api_key", "--account", "7")
    assert "The secret is not shown again." in text
    assert listed()[0]["permissions"] == ["read"]


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_public_key_has_no_secret(tmp_path: Path, kind: str) -> None:
    private = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    file = tmp_path / "public.pem"
    file.write_bytes(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    made = create("--account", "7", "--public-key", str(file))
    assert (made["secret"], made["type"]) == (None, kind)


def test_bad_input_is_refused_with_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "public.pem"
    assert refusal("create_api_key", "--account", "7", "--public-key", str(file)) == (
        f"{file} cannot be read: No such file or directory.",
        2,
    )
    file.write_text("nothing")
    sentence, code = refusal("create_api_key", "--account", "7", "--public-key", str(file))
    assert (sentence, code) == ("This is not a public key in PEM form (-----BEGIN PUBLIC KEY-----).", 2)
    assert refusal("create_api_key", "--account", "7", "--type", "rsa")[1] == 2
    assert refusal("create_api_key", "--account", "7", "--ip", "nowhere") == (
        "'nowhere' is neither an IP address nor a network such as 192.0.2.0/24.",
        2,
    )
    assert refusal("create_api_key", "--account", "7", "--label", "x" * 101)[1] == 2
    assert "is not a list of permissions" in refusal("create_api_key", "--account", "7", "--permissions", "all")[0]
    assert refusal("revoke_api_key", "nobody") == ("There is no API key 'nobody': list_api_keys shows all.", 2)
