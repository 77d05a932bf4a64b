"""Ends a login SESSION_IDLE_MINUTES after the last request, and in any case SESSION_HOURS after it began."""

import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest, HttpResponse

BEGAN_AT = "office_began_at_s"
ACTIVE_AT = "office_active_at_s"
RECORDED_AFTER_S = 15
"""Activity is recorded at most this often, because each record is a write to the database."""

POLLED = ("office:live", "office:alarm_bar", "office:request_state")
"""Views that an open page requests by itself: such a request does not show that somebody uses the page."""


def connect() -> None:
    """Both times start again at each login, also in a session that exists already."""
    user_logged_in.connect(_begin, dispatch_uid="office-session-began")


def now_s() -> int:
    return int(time.time())


class SessionEndMiddleware:
    """Middleware. Must come after the one that knows the user, and before those that require one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *view: object) -> HttpResponse | None:
        if not request.user.is_authenticated:
            return None
        now = now_s()
        began = request.session.get(BEGAN_AT)
        if began is None:  # a session of a version that kept no times
            _begin(request=request)
            return None
        active = request.session.get(ACTIVE_AT, began)
        if now - began < settings.SESSION_HOURS * 3600 and now - active < settings.SESSION_IDLE_MINUTES * 60:
            if now - active >= RECORDED_AFTER_S and not _is_polled(request):
                request.session[ACTIVE_AT] = now
            return None
        logout(request)  # the middleware after this one redirects to the login
        # htmx would put the login form into the open page; with this header it loads the whole page again.
        return HttpResponse(headers={"HX-Refresh": "true"}) if "HX-Request" in request.headers else None


def _is_polled(request: HttpRequest) -> bool:
    return request.resolver_match is not None and request.resolver_match.view_name in POLLED


def _begin(request: HttpRequest, **kwargs: object) -> None:
    request.session[BEGAN_AT] = request.session[ACTIVE_AT] = now_s()
