"""The site's own pages for machines; they are public and say nothing that is not."""

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from exchange_site import health, readers
from settlement.alarms import StoredAlarms
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
    return _answer({"store": health.timed(lambda: _store.ping(), StoreError), "database": health.database})


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest() + generate_latest(_alarms), content_type=CONTENT_TYPE_LATEST)


def _answer(probes: dict[str, health.Probe]) -> HttpResponse:
    status, body = health.answer(probes)
    return HttpResponse(body, status=status, content_type="application/json")
