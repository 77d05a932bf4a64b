import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.keys.errors import BadKey
from gateway.keys.key import KeyType
from gateway.keys.signatures import HmacVerifier, public_key
from tests.matching.examples import examples

ED25519 = ed25519.Ed25519PrivateKey.generate()
RSA = rsa.generate_private_key(65537, 2048)


def pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@examples(100)
@given(st.binary(max_size=100), st.binary(min_size=1, max_size=64))
def test_hmac_in_either_case(message: bytes, secret: bytes) -> None:
    signature = hmac.new(secret, message, hashlib.sha256).hexdigest()
    verifier = HmacVerifier(secret)
    assert verifier.matches(message, signature)
    assert verifier.matches(message, signature.upper())
    assert not verifier.matches(message + b" ", signature)
    assert not verifier.matches(message, signature[:-1])


@examples(100)
@given(st.binary(max_size=100), st.integers(0, 511))
def test_ed25519(message: bytes, bit: int) -> None:
    key_type, verifier = public_key(pem(ED25519))
    signature = ED25519.sign(message)
    assert key_type is KeyType.ED25519
    assert verifier.matches(message, base64.b64encode(signature).decode())
    assert not verifier.matches(message + b" ", base64.b64encode(signature).decode())
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    assert not verifier.matches(message, base64.b64encode(changed).decode())


def test_rsa() -> None:
    key_type, verifier = public_key(pem(RSA))
    signature = base64.b64encode(RSA.sign(b"message", padding.PKCS1v15(), SHA256())).decode()
    assert key_type is KeyType.RSA
    assert verifier.matches(b"message", signature)
    assert not verifier.matches(b"another", signature)


@pytest.mark.parametrize("private", [ED25519, RSA])
@examples(100)
@given(signature=st.text(max_size=100))
def test_any_text_is_no_signature(private: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, signature: str) -> None:
    assert not public_key(pem(private))[1].matches(b"message", signature)
    assert not HmacVerifier(b"secret").matches(b"message", signature)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "This is not a public key in PEM form"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "This is not a public key in PEM form"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "The public key is neither an Ed25519 key nor an RSA key."),
        (pem(rsa.generate_private_key(65537, 1024)), "An RSA key needs 2048 to 4096 bits, and this one has 1024."),
    ],
)
def test_keys_that_are_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(BadKey, match=sentence):
        public_key(text)
