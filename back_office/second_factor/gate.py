"""Keeps a session that only the password has opened away from everything but the second factor's own pages.

An account with a second factor is led to the page that asks for its code. An account without one, whose role needs it,
is led to the page that sets it up.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from back_office.second_factor import devices, requirement

LOGOUT = "admin:logout"
CODE_VIEWS = frozenset({LOGOUT, "office:second_factor_code", "office:verify_second_factor"})
SET_UP_VIEWS = frozenset(
    {LOGOUT, "office:second_factor", "office:begin_second_factor", "office:confirm_second_factor"},
)


class SecondFactorMiddleware:
    """Middleware. Must come after those of sessions and logins, and before all that show something."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: object, kwargs: object
    ) -> HttpResponse | None:
        if not getattr(view, "login_required", True) or requirement.is_verified(request.user):
            return None
        name = request.resolver_match.view_name if request.resolver_match else ""
        if devices.device_of(request.user) is not None:
            return None if name in CODE_VIEWS else _lead_to(request, "office:second_factor_code")
        if requirement.is_required(request.user):
            return None if name in SET_UP_VIEWS else _lead_to(request, "office:second_factor")
        return None


def _lead_to(request: HttpRequest, page: str) -> HttpResponse:
    if "HX-Request" in request.headers:  # otherwise htmx would put the page into the open one
        return HttpResponse(headers={"HX-Refresh": "true"})
    target = request.get_full_path() if request.method == "GET" else ""
    address = reverse(page)
    return redirect(f"{address}?{urlencode({'next': target})}" if target else address)
