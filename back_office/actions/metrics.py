"""Metrics of the worker that carries out requests."""

from django.db.models import Count
from prometheus_client import Counter, Gauge

from back_office.models import ActionRequest

State = ActionRequest.State

OPEN = Gauge("action_requests_open", "Requests that have not ended.", ["state"])
ENDED = Counter("action_requests_ended", "Requests that this worker has ended.", ["kind", "state"])

_OPEN_STATES = (State.WAITING, State.APPROVED, State.CARRYING_OUT)


def count_states() -> None:
    """Raises Django's database errors."""
    found = ActionRequest.objects.filter(state__in=_OPEN_STATES).values_list("state").annotate(count=Count("id"))
    counts = dict(found)
    for state in _OPEN_STATES:
        OPEN.labels(str(state)).set(counts.get(state, 0))
