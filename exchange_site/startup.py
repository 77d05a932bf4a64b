"""First step of every process: load Django, exit if settings are invalid, make the keys of a first start."""

import sys
from collections.abc import Iterable
from typing import NoReturn

import django
from django.core import checks
from django.core.checks import CheckMessage

from matching.core.errors import KeysUnusable

COULD_NOT_RUN = 2


def sentences(problems: Iterable[CheckMessage]) -> list[str]:
    """One line per problem: what is wrong, what to do, and its id."""
    return [f"{problem.msg} {problem.hint or ''}".strip() + f" ({problem.id})" for problem in problems]


def set_up(*, web: bool = False, reads_only: bool = False, makes_keys: bool = True) -> None:
    """Load the apps, check the settings and make missing keys; exit with 2 and one sentence per problem.

    `web` adds the checks for processes that serve browsers. With `reads_only` nothing is made, not even DATA_DIR.
    Without `makes_keys` no keys are made.
    """
    django.setup()
    from exchange_site.configuration.check_tags import FOLDER, SETTINGS, WEB
    from exchange_site.operations import first_start

    tags = [SETTINGS] if reads_only else [SETTINGS, FOLDER]
    found = checks.run_checks(tags=tags, include_deployment_checks=False)
    if web:
        found += checks.run_checks(tags=[WEB], include_deployment_checks=True)
    refused = sorted((problem for problem in found if problem.is_serious()), key=lambda problem: str(problem.id))
    if refused:
        _refuse("\n".join(sentences(refused)))
    if reads_only or not makes_keys:
        return
    try:
        first_start.make_local_keys()
    except KeysUnusable as error:
        _refuse(str(error))
    if web:
        first_start.warn_if_plain()


def _refuse(problems: str) -> NoReturn:
    sys.stderr.write(f"{problems}\n")
    raise SystemExit(COULD_NOT_RUN)
