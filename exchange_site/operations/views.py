"""Health and metrics endpoints. They need no login and contain no confidential data."""

from collections.abc import Mapping

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from redis import RedisError

from back_office import readers
from exchange_site.operations import health
from exchange_site.operations.broker import ask_redis
from settlement.alarms.rules import Kind
from settlement.alarms.worker_alarms import StoredAlarms
from settlement.stores.base import StoreError

_store = readers.store()  # opened on first use
# Not the default registry: settlement loads this module too, and registers its own alarms there.
_alarms = CollectorRegistry()
_alarms.register(StoredAlarms())


@login_not_required
@require_safe
@never_cache
def live(request: HttpRequest) -> HttpResponse:
    return _answer({})


@login_not_required
@require_safe
@never_cache
def ready(request: HttpRequest) -> HttpResponse:
    required = {"store": health.timed(lambda: _store.ping(), StoreError), "database": health.database}
    # Trading, settlement and pages work without background tasks, so a missing broker only degrades.
    optional = {"broker": health.timed(ask_redis, RedisError)} if settings.REDIS_URL else {}
    optional |= {"settlement": _is_alive(Kind.SETTLEMENT_SILENT), "background": _is_alive(Kind.BACKGROUND_SILENT)}
    optional["actions"] = _is_alive(Kind.ACTIONS_SILENT)
    return _answer(required, optional)


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest() + generate_latest(_alarms), content_type=CONTENT_TYPE_LATEST)


def _is_alive(alarm: Kind) -> health.Probe:
    """Whether the watch of this process found no reason for that alarm when it looked last."""
    return lambda: health.Check(readers.watch().is_fine(alarm))


def _answer(required: dict[str, health.Probe], optional: Mapping[str, health.Probe] = {}) -> HttpResponse:
    status, body = health.answer(required, optional)
    return HttpResponse(body, status=status, content_type="application/json")
