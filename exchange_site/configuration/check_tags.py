"""Registers system checks of the settings. A tag says which processes run a check."""

from collections.abc import Callable, Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.core.checks import CheckMessage

SETTINGS = "exchange_settings"  # for every process
FOLDER = "exchange_folder"  # for every process that writes
WEB = "exchange_web"  # only for processes that serve browsers

Check = Callable[..., Sequence[CheckMessage]]


def checked(tag: str, *, deploy: bool = False) -> Callable[[Callable[[], list[CheckMessage]]], Check]:
    """Registers a check that does not need the arguments of Django."""

    def register(check: Callable[[], list[CheckMessage]]) -> Check:
        def run(app_configs: Sequence[AppConfig] | None = None, **kwargs: Any) -> Sequence[CheckMessage]:
            return check()

        checks.register(run, tag, deploy=deploy)
        return run

    return register
