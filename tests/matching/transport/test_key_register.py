"""The signed register of keys: what it says, and which bytes are refused."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from matching.transport import key_register
from matching.transport.key_register import (
    BadKeyRegister,
    KeyRegister,
    KeyRole,
    OwnKey,
    RegisteredKey,
    decode_signed,
    encode_signed,
    exchange_of,
    is_curve_key,
    new_pair,
    newer,
)
from tests.sentences import refusal

ROOT = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
EXCHANGE = exchange_of(ROOT.public_key())
PUBLIC = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
OTHER = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
REGISTER = KeyRegister(
    2,
    EXCHANGE,
    {
        PUBLIC: RegisteredKey(PUBLIC, KeyRole.TRADER, "alice", (1, 7)),
        OTHER: RegisteredKey(OTHER, KeyRole.ENGINE, "local", revoked=True, signing="ab" * 32),
    },
)
DOCUMENT = encode_signed(REGISTER, ROOT)


def signed(fields: object) -> bytes:
    """A document with a valid signature, whatever its content is."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    signature = ROOT.sign(b"open-exchange key register\n" + text.encode()).hex()
    return f'{{"register":{text},"signature":"{signature}"}}'.encode()


def fields(**changed: Any) -> dict[str, Any]:
    return {**json.loads(DOCUMENT)["register"], **changed}


def with_key(**changed: Any) -> bytes:
    (first, second) = fields()["keys"]
    return signed(fields(keys=[{**first, **changed}, second]))


def refused(document: bytes) -> str:
    return refusal(BadKeyRegister, lambda: decode_signed(document, ROOT.public_key()))


def test_a_signed_register_is_read_as_it_was_written() -> None:
    assert decode_signed(DOCUMENT, ROOT.public_key()) == REGISTER


def test_the_bytes_of_a_register_are_fixed() -> None:
    expected = (
        '{"register":{"exchange":"' + EXCHANGE + '","keys":[{"accounts":[1,7],"name":"alice","public":"' + PUBLIC + '",'
        '"revoked":false,"role":"trader"},{"accounts":[],"name":"local","public":"' + OTHER + '","revoked":true,'
        '"role":"engine","signing":"' + "ab" * 32 + '"}],"serial":2},"signature":"'
    )
    assert DOCUMENT.decode().startswith(expected)
    assert EXCHANGE == "56475aa75463474c"


def test_a_revoked_key_is_found_and_is_not_active() -> None:
    found = REGISTER.find(OTHER)
    assert found is not None
    assert found.revoked
    assert REGISTER.active(KeyRole.ENGINE) == []
    assert REGISTER.active(KeyRole.TRADER) == [REGISTER.keys[PUBLIC]]
    assert REGISTER.find("nobody") is None


def test_every_change_raises_the_serial() -> None:
    revoked = RegisteredKey(PUBLIC, KeyRole.TRADER, "alice", (1, 7), revoked=True)
    changed = REGISTER.with_key(revoked)
    assert (changed.serial, changed.find(PUBLIC)) == (3, revoked)
    assert list(changed.keys) == list(REGISTER.keys)


@pytest.mark.parametrize("position", range(0, len(DOCUMENT), 7))
def test_a_register_with_a_changed_byte_is_refused(position: int) -> None:
    changed = bytearray(DOCUMENT)
    changed[position] ^= 1
    assert "key register" in refused(bytes(changed))


def test_a_register_signed_by_somebody_else_is_refused() -> None:
    document = encode_signed(REGISTER, Ed25519PrivateKey.generate())
    assert "not signed by this exchange's root key" in refused(document)


def test_a_register_of_another_exchange_is_refused_by_name() -> None:
    root = Ed25519PrivateKey.from_private_bytes(bytes(32))
    other = exchange_of(root.public_key())
    text = refused(encode_signed(KeyRegister(1, other), root))
    assert f"of another exchange ('{other}')" in text
    assert EXCHANGE in text


def test_a_signature_of_the_same_text_for_another_purpose_is_refused() -> None:
    text = json.dumps(fields(), sort_keys=True, separators=(",", ":"))
    document = f'{{"register":{text},"signature":"{ROOT.sign(text.encode()).hex()}"}}'
    assert "not signed" in refused(document.encode())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'"' + b"1" * 5000,
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        DOCUMENT + b" ",
        DOCUMENT.replace(b":", b": ", 1),
        DOCUMENT.replace(b'"serial":2', b'"serial":2,"serial":2'),
        DOCUMENT.decode().encode("utf-16"),
        b'{"register":null,"signature":null}',
        b'{"register":' + b"9" * 5000 + b',"signature":""}',
    ],
)
def test_bytes_that_make_keys_never_writes_are_refused(document: bytes) -> None:
    assert "The key register" in refused(document)


def test_a_register_of_more_than_a_mebibyte_is_neither_written_nor_read() -> None:
    assert "larger than 1 MiB" in refused(b" " * (key_register.MAX_REGISTER_BYTES + 1))
    accounts = tuple(range(200_000))
    large = KeyRegister(1, EXCHANGE, {PUBLIC: RegisteredKey(PUBLIC, KeyRole.TRADER, "alice", accounts)})
    with pytest.raises(BadKeyRegister, match="more than fit into 1 MiB"):
        encode_signed(large, ROOT)


@pytest.mark.parametrize("serial", [0, -1, 1 << 63, 1.0, "1", True, None])
def test_a_serial_is_a_positive_whole_number(serial: object) -> None:
    assert "serial" in refused(signed(fields(serial=serial)))


@pytest.mark.parametrize("keys", [None, {}, "keys", [None], [[]], [{}]])
def test_the_keys_are_a_list_of_records(keys: object) -> None:
    assert "of the key register" in refused(signed(fields(keys=keys)))


@pytest.mark.parametrize("signing", ["", "ab" * 31, "AB" * 32, None, 1, ["ab" * 32]])
def test_a_signing_key_has_64_hex_digits(signing: object) -> None:
    (first, second) = fields()["keys"]
    assert "invalid signing key" in refused(signed(fields(keys=[first, {**second, "signing": signing}])))


def test_a_role_that_signs_nothing_has_no_signing_key() -> None:
    assert "invalid signing key" in refused(with_key(signing="ab" * 32))


def test_a_register_of_an_earlier_version_without_signing_keys_is_read() -> None:
    (first, second) = fields()["keys"]
    del second["signing"]
    found = decode_signed(signed(fields(keys=[first, second])), ROOT.public_key())
    assert not any(key.signing for key in found.keys.values())


def test_a_key_is_listed_once() -> None:
    first = fields()["keys"][0]
    assert "listed twice" in refused(signed(fields(keys=[first, first])))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public", None),
        ("public", PUBLIC[:-1]),
        ("public", "~" * 40),
        ("public", "#" * 40),
        ("public", "é" * 40),
        ("role", "root"),
        ("role", None),
        ("role", ["trader"]),
        ("name", ""),
        ("name", "../alice"),
        ("name", "Alice"),
        ("name", "a" * 65),
        ("name", "alice\n"),
        ("name", 1),
        ("accounts", None),
        ("accounts", [-1]),
        ("accounts", [True]),
        ("accounts", [1 << 63]),
        ("accounts", ["1"]),
        ("revoked", 0),
        ("revoked", None),
        ("since", 1),
    ],
)
def test_a_key_with_a_bad_field_is_refused(field: str, value: object) -> None:
    assert "Key 1 of the key register" in refused(with_key(**{field: value}))


def test_only_a_trader_has_accounts() -> None:
    assert "invalid accounts" in refused(with_key(role="treasury"))


def test_the_highest_serial_wins_and_never_goes_back() -> None:
    later = REGISTER.with_key(RegisteredKey(PUBLIC, KeyRole.TRADER, "alice", revoked=True))
    assert newer(None, REGISTER) is REGISTER
    assert newer(REGISTER, later) is later
    assert newer(later, REGISTER) is later
    assert newer(REGISTER, decode_signed(DOCUMENT, ROOT.public_key())) == REGISTER


def test_the_same_serial_with_other_keys_is_refused() -> None:
    with pytest.raises(BadKeyRegister, match="Two different key registers have the serial 2"):
        newer(REGISTER, KeyRegister(2, EXCHANGE))


def test_a_newer_register_of_another_exchange_does_not_win() -> None:
    with pytest.raises(BadKeyRegister, match="of exchange other"):
        newer(REGISTER, KeyRegister(9, "other"))


def test_new_keys_are_valid_and_no_option_of_a_command_line() -> None:
    pairs = [new_pair() for _ in range(200)]
    assert all(is_curve_key(half) for pair in pairs for half in pair)
    assert not any(public.startswith("-") for public, _ in pairs)


def test_a_secret_is_not_shown() -> None:
    own = OwnKey(PUBLIC, secret=OTHER, role=KeyRole.TRADER, name="alice")
    assert OTHER not in repr(own)
