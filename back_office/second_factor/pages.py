"""Pages of the second factor: the code at the login, one's own device, and that of another account."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django_otp import login as note_in_session

from back_office import filters
from back_office.access.ranks import outranks
from back_office.audit import records
from back_office.audit.codes import Action
from back_office.filters import BadFilter
from back_office.second_factor import devices, qr_code, recorded, requirement
from back_office.second_factor.devices import CodeRefused, NotSetUp, TooManyCodes

MAY_SEE = "auth.view_user"
MAY_RESET = "auth.change_user"
TITLE = "Second factor"


class SecondFactorPages:
    """What the user of the request does with his own second factor."""

    def code(self, request: HttpRequest) -> HttpResponse:
        """Asks for the code after the password."""
        if requirement.is_verified(request.user) or devices.device_of(request.user) is None:
            return redirect("office:second_factor")
        return _code_form(request, filters.text(request.GET, "next"))

    def verify(self, request: HttpRequest) -> HttpResponse:
        target = filters.text(request.POST, "next")
        try:
            device = recorded.checked(request, filters.text(request.POST, "code"))
        except CodeRefused as refusal:
            return _code_form(request, target, refusal)
        _verify_session(request, device)
        recorded.record_verified(request, device)
        is_ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
        return redirect(target if is_ours else reverse("office:overview"))

    def own(self, request: HttpRequest) -> HttpResponse:
        """Without a device: how to set one up. With one: what can be done with it."""
        return _own(request)

    def begin(self, request: HttpRequest) -> HttpResponse:
        if devices.device_of(request.user) is None:
            devices.begin(request.user)
        return redirect("office:second_factor")

    def confirm(self, request: HttpRequest) -> HttpResponse:
        try:
            device = devices.confirm(request.user, filters.text(request.POST, "code"))
        except NotSetUp as error:
            messages.error(request, str(error))
            return redirect("office:second_factor")
        except CodeRefused as refusal:
            recorded.record_refusal(request, refusal)
            return _own(request, refusal)
        codes = _recorded_codes(request, Action.SECOND_FACTOR_SET_UP)
        _verify_session(request, device)
        return _codes_page(request, codes, "The second factor is set up. Each login now asks for a code.")

    def new_codes(self, request: HttpRequest) -> HttpResponse:
        def renewed() -> HttpResponse:
            codes = _recorded_codes(request, Action.SECOND_FACTOR_CODES)
            return _codes_page(request, codes, "Earlier backup codes are not valid any more.")

        return _with_code(request, renewed)

    def remove(self, request: HttpRequest) -> HttpResponse:
        def removed() -> HttpResponse:
            recorded.remove(request.user, Action.SECOND_FACTOR_REMOVE)
            messages.success(request, "The second factor was removed.")
            return redirect("office:second_factor")

        return _with_code(request, removed)


class UserSecondFactorPages:
    """What an administrator does with the second factor of another account."""

    def user(self, request: HttpRequest, number: int) -> HttpResponse:
        user = _user(number)
        context = {
            "title": f"Second factor of {user.get_username()}",
            "account": user,
            "device": devices.device_of(user),
            "codes_left": devices.backup_codes_left(user),
            "is_required": requirement.is_required(user),
            "may_reset": request.user.has_perm(MAY_RESET) and not _objection(request, user),
        }
        return TemplateResponse(request, "back_office/user_second_factor.html", context)

    def reset(self, request: HttpRequest, number: int) -> HttpResponse:
        """For somebody who has lost device and backup codes. Raises PermissionDenied."""
        user = _user(number)
        if objection := _objection(request, user):
            raise PermissionDenied(objection)
        try:
            reason = filters.needed_reason(request.POST)
        except BadFilter as refusal:
            messages.error(request, str(refusal))
            return redirect("office:user_second_factor", number)
        if recorded.remove(user, Action.SECOND_FACTOR_RESET, records.storable(reason)):
            messages.success(request, f"{user.get_username()} has no second factor any more.")
        else:
            messages.info(request, f"{user.get_username()} had no second factor.")
        return redirect("office:user_second_factor", number)


def _user(number: int) -> User:
    found = User.objects.filter(pk=number).first()
    if found is None:
        raise Http404(f"There is no user with the number {number}.")
    return found


def _objection(request: HttpRequest, user: User) -> str:
    """Why the user of the request must not reset this account; "" if he may."""
    if user.pk == request.user.pk:
        return "Your own second factor is removed on its own page, with a code."
    if outranks(user, request.user):
        return "This account has permissions that yours lacks, so you cannot reset its second factor."
    return ""


def _verify_session(request: HttpRequest, device: devices.Device) -> None:
    request.session.cycle_key()  # whoever knows the key from before gains nothing
    note_in_session(request, device)


def _recorded_codes(request: HttpRequest, action: Action) -> list[str]:
    with records.together():
        codes = devices.renew_backup_codes(request.user)
        records.append(action, target=recorded.target(request.user))
    return codes


def _with_code(request: HttpRequest, act: Callable[[], HttpResponse]) -> HttpResponse:
    """Acts only with a code: a browser that somebody has left open is not enough."""
    try:
        recorded.checked(request, filters.text(request.POST, "code"))
    except CodeRefused as refusal:
        return _own(request, refusal)
    return act()


def _status(refusal: CodeRefused | None) -> int:
    if refusal is None:
        return 200
    return 429 if isinstance(refusal, TooManyCodes) else 400


def _code_form(request: HttpRequest, target: str, refusal: CodeRefused | None = None) -> TemplateResponse:
    context = {"title": "Code", "next": target, "refusal": str(refusal or "")}
    return TemplateResponse(request, "back_office/second_factor_code.html", context, status=_status(refusal))


def _own(request: HttpRequest, refusal: CodeRefused | None = None) -> TemplateResponse:
    device = devices.device_of(request.user)
    new = devices.unconfirmed_device_of(request.user) if device is None else None
    is_required = requirement.is_required(request.user)
    context: dict[str, Any] = {
        "title": TITLE,
        "device": device,
        "codes_left": devices.backup_codes_left(request.user),
        "is_required": is_required,
        "refusal": str(refusal or ""),
    }
    if is_required and not requirement.is_verified(request.user):
        # Only the password has opened this session, so the page shows nothing of the exchange.
        context |= {"is_alone": True, "bar": None}
    if new is not None:
        context |= {"qr_code": qr_code.svg(new.config_url), "secret": devices.secret_in_letters(new)}
    return TemplateResponse(request, "back_office/second_factor.html", context, status=_status(refusal))


def _codes_page(request: HttpRequest, codes: list[str], sentence: str) -> TemplateResponse:
    context = {"title": "Backup codes", "codes": codes, "sentence": sentence}
    return TemplateResponse(request, "back_office/backup_codes.html", context)
