"""Keys of simulated processes, and the key register, which all processes read."""

import hashlib
from dataclasses import replace

from zmq.utils import z85

from matching.transport.key_register import KeyRegister, KeyRole, RegisteredKey


class Keys:
    """The register of one run. A public key has the form of a real one; nobody has to prove it."""

    def __init__(self) -> None:
        self._register = KeyRegister(1, "simulated")
        self._made = 0

    def new(self, role: KeyRole, name: str, *, is_registered: bool = True) -> str:
        """A new public key."""
        self._made += 1
        public = z85.encode(hashlib.sha256(f"{name}, key {self._made}".encode()).digest()).decode("ascii")
        if is_registered:
            self._register = self._register.with_key(RegisteredKey(public, role, name))
        return public

    def revoke(self, public: str) -> None:
        self._register = self._register.with_key(replace(self._register.keys[public], revoked=True))

    def find(self, public: str) -> RegisteredKey | None:
        return self._register.find(public)

    def is_valid(self, public: str) -> bool:
        key = self.find(public)
        return key is not None and not key.revoked


class Holder:
    """A process or a series of restarted ones, with the key that they use from now on."""

    def __init__(self, keys: Keys, role: KeyRole, name: str) -> None:
        self.role = role
        self.name = name
        self.key = keys.new(role, name)
        self._keys = keys

    def replace_key(self) -> str:
        """Makes the next key, as `make_keys --replace` does. Returns the old one, which is still valid."""
        old, self.key = self.key, self._keys.new(self.role, self.name)
        return old
