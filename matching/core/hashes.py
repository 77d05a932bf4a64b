"""Text form of hashes in messages, JSON and databases: 16 hex digits."""


def hash_text(value: int) -> str:
    """`value` is an xxh3_64: 0 to 2^64 - 1."""
    return f"{value:016x}"


def hash_value(text: str) -> int:
    """The inverse of `hash_text`. Raises ValueError."""
    return int(text, 16)
