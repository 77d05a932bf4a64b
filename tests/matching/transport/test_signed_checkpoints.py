"""Only a checkpoint that a registered key of its signer has signed counts, whatever else its bytes are."""

import json
from dataclasses import replace
from typing import Any

import pytest

from matching.core.chain_digest import ChainPoint
from matching.transport.key_register import KeyRegister, KeyRole, OwnKey, RegisteredKey, new_pair
from matching.transport.signed_checkpoints import (
    MAX_CHECKPOINT_BYTES,
    BadCheckpoint,
    SignedCheckpoint,
    read_own,
    read_signed,
    sign,
)
from matching.transport.signing import new_signing_secret, signed_document, signing_private
from tests.sentences import refusal

EXCHANGE = "0123456789abcdef"
POINT = ChainPoint(1200, 0xFEDC, bytes(range(32)))
TIME_NS = 1_767_225_590_123_456_789


def key(role: KeyRole = KeyRole.SETTLEMENT, name: str = "local") -> OwnKey:
    public, secret = new_pair()
    return OwnKey(public, secret, role, name, new_signing_secret())


def registered(*keys: OwnKey) -> KeyRegister:
    listed = (RegisteredKey(own.public, own.role, own.name, signing=own.signing) for own in keys)
    return KeyRegister(1, EXCHANGE, {one.public: one for one in listed})


OWN = key()
REGISTER = registered(OWN, key(KeyRole.ENGINE))
DOCUMENT = sign(OWN, EXCHANGE, POINT, TIME_NS)


def refused(document: bytes, register: KeyRegister = REGISTER) -> str:
    return refusal(BadCheckpoint, lambda: read_signed(document, register))


def test_a_checkpoint_is_read_as_it_was_signed() -> None:
    found = read_signed(DOCUMENT, REGISTER)
    assert found == SignedCheckpoint(EXCHANGE, KeyRole.SETTLEMENT, "local", POINT, TIME_NS) == read_own(DOCUMENT, OWN)
    assert (found.signer, found.time) == ("settlement-local", "2025-12-31 23:59:50 UTC")
    assert b"\n" not in DOCUMENT
    assert len(DOCUMENT) < MAX_CHECKPOINT_BYTES - len(OWN.name)


@pytest.mark.parametrize("position", range(0, len(DOCUMENT), 5))
def test_a_checkpoint_with_a_changed_byte_is_refused(position: int) -> None:
    changed = bytearray(DOCUMENT)
    changed[position] ^= 1
    assert refused(bytes(changed))


@pytest.mark.parametrize("length", range(0, len(DOCUMENT), 5))
def test_a_checkpoint_that_was_cut_is_not_complete(length: int) -> None:
    assert refused(DOCUMENT[:length]) == "The checkpoint is not complete."


def test_a_checkpoint_of_another_exchange_is_refused_by_name() -> None:
    text = refused(sign(OWN, "f" * 16, POINT, TIME_NS))
    assert text == f"The checkpoint is of exchange {'f' * 16}, not of {EXCHANGE}."


def test_a_self_made_key_with_the_name_of_a_signer_signs_nothing_valid() -> None:
    text = refused(sign(key(), EXCHANGE, POINT, TIME_NS))
    assert text == "The checkpoint is not signed by a registered key of settlement local."
    assert "settlement mallory" in refused(sign(key(name="mallory"), EXCHANGE, POINT, TIME_NS))
    assert read_own(DOCUMENT, key()) is None


def test_a_key_signs_for_its_own_role_and_name_only() -> None:
    of_engine = replace(OWN, role=KeyRole.ENGINE)
    assert "engine local" in refused(sign(of_engine, EXCHANGE, POINT, TIME_NS))


def test_what_a_key_has_signed_counts_after_it_was_replaced_and_revoked() -> None:
    revoked = replace(REGISTER.keys[OWN.public], revoked=True)
    after = registered(key()).with_key(revoked)
    assert read_signed(DOCUMENT, after).point == POINT


def test_a_signature_for_another_kind_of_document_is_refused() -> None:
    fields = json.loads(DOCUMENT)["checkpoint"]
    private = signing_private(OWN.signing_secret)
    made = signed_document("checkpoint", fields, private, b"open-exchange key register\n")
    assert "is not signed" in refused(made)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("block", -1),
        ("block", 1 << 63),
        ("block", True),
        ("block", "1"),
        ("time_ns", 1.5),
        ("time_ns", None),
        ("digest", "00" * 31),
        ("digest", "AB" * 32),
        ("digest", 7),
        ("state_hash", "fedc"),
        ("role", "root"),
        ("role", ["engine"]),
        ("name", None),
        ("name", "two\nlines"),
        ("exchange", {}),
        ("exchange", "two\nlines"),
        ("more", 1),
    ],
)
def test_a_signed_document_with_other_fields_is_not_a_checkpoint(field: str, value: Any) -> None:
    fields = {**json.loads(DOCUMENT)["checkpoint"], field: value}
    made = signed_document("checkpoint", fields, signing_private(OWN.signing_secret), b"open-exchange checkpoint\n")
    assert refused(made) == "The checkpoint is not complete."
