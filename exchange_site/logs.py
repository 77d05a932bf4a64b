"""Structured logs on standard error: one line per event, from our own code and from libraries."""

import re
from typing import Any

import structlog
from structlog.typing import Processor

FORMATS = ("keyvalue", "json")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_ROUTINE = re.compile(r"""^timestamp='[^']*' level='(?:debug|info)' |^\{.*"level": "(?:debug|info)"[,}]""")
"""A line in either format with a level below warning."""

_PROCESSORS: list[Processor] = [*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
"""The same list object for every call of `configure`: loggers that were used before keep a reference to it."""


def configure() -> None:
    """Route structlog through the standard library, so that one handler writes everything."""
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def settings(log_format: str, level: str) -> dict[str, Any]:
    """The LOGGING dictionary of Django's settings."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "processors": _rendering(log_format),
                "foreign_pre_chain": SHARED,
            }
        },
        "filters": {"database-errors": {"()": "back_office.outages.DatabaseErrorFilter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own handlers would write a second, unstructured copy of each request error.
            "django": {"handlers": [], "propagate": True},
            "django.server": {"handlers": [], "propagate": True},
            "axes": {"level": "ERROR"},  # back_office.access.logins logs the same as events
            "django.request": {"filters": ["database-errors"]},
        },
    }


def is_routine(line: str) -> bool:
    """Whether a line is a log event below level warning; False for text that is not a log event."""
    return bool(_ROUTINE.match(line))


def _rendering(log_format: str) -> list[Processor]:
    last: Processor
    if log_format == "json":
        last = structlog.processors.JSONRenderer()
    else:
        last = structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"], drop_missing=True)
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        last,
    ]
