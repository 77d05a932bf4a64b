"""Errors of keys. Each message is a sentence for whoever makes or revokes one."""

from matching.core.errors import MatchingError


class BadKey(MatchingError):
    """A key or one of its properties that is not valid: change it."""


class KeyExists(BadKey):
    """There is a key of this name already: what asked for it was done before."""


class SecretUnreadable(MatchingError):
    """A stored secret that this process cannot decrypt: API_KEYS_SECRET differs from the one it was stored with."""
