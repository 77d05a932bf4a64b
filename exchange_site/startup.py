"""First step of every process: load Django, and exit if settings are invalid."""

import sys
from collections.abc import Iterable

import django
from django.core import checks
from django.core.checks import CheckMessage

COULD_NOT_RUN = 2


def sentences(problems: Iterable[CheckMessage]) -> list[str]:
    """One line per problem: what is wrong, what to do, and its id."""
    return [f"{problem.msg} {problem.hint or ''}".strip() + f" ({problem.id})" for problem in problems]


def set_up(*, web: bool = False) -> None:
    """Load the apps and check the settings; exit with 2 and one sentence per invalid setting.

    `web` adds the checks for processes that serve browsers.
    """
    django.setup()
    from exchange_site.checks import SETTINGS, WEB

    found = checks.run_checks(tags=[SETTINGS], include_deployment_checks=False)
    if web:
        found += checks.run_checks(tags=[WEB], include_deployment_checks=True)
    refused = sorted((problem for problem in found if problem.is_serious()), key=lambda problem: str(problem.id))
    if refused:
        sys.stderr.write("\n".join(sentences(refused)) + "\n")
        raise SystemExit(COULD_NOT_RUN)
