"""Reads the newest epoch, and so the leading engine, from the store."""

from matching.core.epochs import Epoch


def newest_epoch() -> Epoch | None:
    """None if the store has no epoch or does not answer."""
    from settlement import wiring  # imported here: it loads the database drivers, which few processes need

    return wiring.newest_epoch()
