"""The site's own pages for machines; they are public and say nothing that is not."""

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
from settlement.alarms.worker_alarms import StoredAlarms
from settlement.stores.base import StoreError

_store = readers.store()  # opened by the first who asks
# Apart from the process's own: other processes load this module too, and settlement's has alarms of its own there.
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
    needed = {"store": health.timed(lambda: _store.ping(), StoreError), "database": health.database}
    # Trading, settlement and every page go on without background work: it is told, and decides nothing.
    useful = {"broker": health.timed(ask_redis, RedisError)} if settings.REDIS_URL else {}
    return _answer(needed, useful)


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest() + generate_latest(_alarms), content_type=CONTENT_TYPE_LATEST)


def _answer(needed: dict[str, health.Probe], useful: Mapping[str, health.Probe] = {}) -> HttpResponse:
    status, body = health.answer(needed, useful)
    return HttpResponse(body, status=status, content_type="application/json")
