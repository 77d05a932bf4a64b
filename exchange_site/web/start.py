"""First step of a process that serves browsers."""

from exchange_site.startup import set_up


def set_up_web() -> None:
    """`startup.set_up` with the checks for the web; then loads the Celery app, to which pages send tasks."""
    set_up(web=True)
    # After the checks: the import reads the settings and creates the broker's folders.
    import exchange_site.celery  # noqa: F401
