"""API keys in memory, and funds of accounts, for gateways of tests."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from gateway.keys.key import ApiKey, KeyType, Permission
from gateway.keys.signatures import verifier
from tests.matching.small_exchange import deposit

READ_AND_TRADE = frozenset(Permission)


@dataclass
class Keys:
    """Keys in memory."""

    keys: dict[str, ApiKey] = field(default_factory=dict)
    searches: int = 0
    uses: int = 0

    def find(self, name: str) -> ApiKey | None:
        self.searches += 1
        return self.keys.get(name)

    def note_use(self, name: str) -> None:
        self.uses += 1

    def add(
        self,
        account: int,
        *,
        key_type: KeyType = KeyType.HMAC,
        material: bytes = b"",
        permissions: frozenset[Permission] = READ_AND_TRADE,
        **properties: Any,
    ) -> tuple[str, str]:
        """Returns the new key's name and its secret."""
        name, secret = secrets.token_hex(32), secrets.token_hex(32)
        found = verifier(key_type, material or secret.encode("ascii"))
        self.keys[name] = ApiKey(name, account, key_type, found, permissions, **properties)
        return name, secret


def funds(account: int) -> list[dict[str, Any]]:
    return [
        deposit(account, f"btc-{account}", "BTC", "1000"),
        deposit(account, f"usd-{account}", "USD", "1000000"),
    ]
