"""What a process that answers browsers does first."""

from exchange_site.startup import set_up


def set_up_web() -> None:
    """As `startup.set_up`, with the checks of the web; then the app that a page hands its tasks to."""
    set_up(web=True)
    # After the checks: importing it reads the settings and makes the broker's folders.
    import exchange_site.celery  # noqa: F401
