"""Asks the store which engine leads."""

from matching.core.epochs import Epoch


def newest_epoch() -> Epoch | None:
    """None where the store knows none or does not answer."""
    from settlement import wiring  # only here: the database drivers come with it, and few processes ask

    return wiring.newest_epoch()
