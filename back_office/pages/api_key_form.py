"""The form that makes an API key, and the page that shows its secret, once.

The form carries the name of the key that it will make, signed, so that a form that is sent twice makes one key. The
secret is in the answer to the form alone: it is in no session, no log and no record, and the answer may not be kept.
"""

from collections.abc import Callable
from typing import Any

import structlog
from django.contrib import messages
from django.core import signing
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from back_office import filters
from back_office.audit import api_keys
from back_office.filters import BadFilter
from gateway.keys.encryption import SecretCipher
from gateway.keys.errors import BadKey, KeyExists
from gateway.keys.key import Permission
from gateway.keys.stored_keys import Wanted, networks, new_name
from gateway.models import StoredApiKey

log = structlog.get_logger(__name__)

_SALT = "office.new_api_key"
_VALID_S = 24 * 3600
_PEM_CHARACTERS = 4000
SECRET, PUBLIC_KEY = "secret", "public_key"


class ApiKeyForm:
    def __init__(self, cipher: Callable[[], SecretCipher]) -> None:
        """`cipher` raises BadKey without a setting for it."""
        self._cipher = cipher

    def form(self, request: HttpRequest) -> TemplateResponse:
        given = QueryDict(mutable=True)
        given.update({"account": filters.text(request.GET, "account"), "kind": SECRET})
        given.setlist("permissions", [Permission.READ])
        return _form(request, given)

    def create(self, request: HttpRequest) -> HttpResponse:
        """Does the same as `manage.py create_api_key`."""
        try:
            name = _name(request)
            wanted, reason = _wanted(request.POST), filters.needed_reason(request.POST)
            made = api_keys.make(wanted, self._cipher(), name=name, reason=reason)
        except KeyExists as exists:
            messages.info(request, str(exists))
            return redirect("office:api_keys")
        except (BadFilter, BadKey) as refusal:
            return _form(request, request.POST, refusal=str(refusal))
        log.info("site.api_key_created", key=made.name, account=wanted.account, by=request.user.get_username())
        number = StoredApiKey.objects.only("id").get(name=made.name).pk
        context = {"title": "New API key", "made": made, "number": number, "account": wanted.account}
        return TemplateResponse(request, "back_office/api_key_made.html", context)


def _form(request: HttpRequest, given: QueryDict, refusal: str = "") -> TemplateResponse:
    context: dict[str, Any] = {
        "title": "New API key",
        "given": given,
        "given_permissions": given.getlist("permissions"),
        "permissions": list(Permission),
        "name": signing.dumps([request.user.get_username(), new_name()], salt=_SALT),
        "refusal": refusal,
    }
    return TemplateResponse(request, "back_office/api_key_form.html", context, status=400 if refusal else 200)


def _name(request: HttpRequest) -> str:
    """The name that the form carries. Raises BadFilter."""
    try:
        user, name = signing.loads(filters.text(request.POST, "name"), salt=_SALT, max_age=_VALID_S)
    except (signing.BadSignature, ValueError):
        user, name = None, ""
    if user != request.user.get_username():
        raise BadFilter("This form is too old, or it is not yours. Send this new one.")
    return str(name)


def _wanted(form: QueryDict) -> Wanted:
    """Raises BadFilter, BadKey."""
    account = filters.whole_number(form, "account", "Account")
    if account is None:
        raise BadFilter("Give the number of the account.")
    permissions = form.getlist("permissions")
    if not set(permissions) <= set(Permission):
        raise BadFilter("A permission is read or trade.")
    return Wanted(
        account=account,
        permissions=frozenset(map(Permission, permissions)),
        public_key=_public_key(form),
        networks=networks(filters.text(form, "networks").replace(",", " ").split()),
        label=filters.text(form, "label"),
    )


def _public_key(form: QueryDict) -> bytes | None:
    pem = filters.text(form, "public_key")
    if form.get("kind") == SECRET:
        if pem:
            raise BadFilter("A key with a secret has no public key: choose one of the two.")
        return None
    if form.get("kind") != PUBLIC_KEY:
        raise BadFilter("Choose a secret or a public key.")
    if not pem:
        raise BadFilter("Paste the trader's public key. The private key stays with the trader.")
    if len(pem) > _PEM_CHARACTERS:
        raise BadFilter(f"A public key has at most {_PEM_CHARACTERS} characters.")
    return pem.encode("utf-8")
