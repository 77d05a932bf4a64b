"""Invitations: an account with a role and without a password, and a link where its owner sets one.

The link is Django's for a forgotten password: signed with SECRET_KEY, valid for PASSWORD_RESET_TIMEOUT, and only until
the password is set.
"""

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import Group, User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode


class CannotInvite(Exception):
    """The invitation names something that cannot be. Its text is one sentence."""


def invite(name: str, role: str) -> User:
    """Makes the account, with the permissions of the role. Raises CannotInvite."""
    with transaction.atomic():
        group = Group.objects.filter(name=role).first()
        if group is None:
            roles = ", ".join(Group.objects.order_by("name").values_list("name", flat=True)) or "none"
            raise CannotInvite(f"There is no role {role!r}. The roles are: {roles}.")
        user = User(username=name, is_staff=True)
        user.set_unusable_password()
        try:
            user.full_clean(exclude=["password"])
        except ValidationError as error:
            raise CannotInvite(f"The name {name!r} cannot be used: {' '.join(error.messages)}") from None
        user.save()
        user.groups.add(group)
    return user


def address_of(user: User, site: str | None = None) -> str:
    """The link for this account; `site`: scheme and host, by default those of the web server."""
    if not settings.SECRET_KEY_IS_GIVEN:
        raise CannotInvite("The link needs the SECRET_KEY of the web: run prepare_run, or set SECRET_KEY.")
    key, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
    path = reverse("office:invitation", kwargs={"uidb64": key, "token": token})
    return (site or f"http{'s' * settings.WEB_HTTPS}://{settings.WEB_ADDRESS}").rstrip("/") + path


@method_decorator(login_not_required, name="dispatch")
class InvitationView(PasswordResetConfirmView):
    """The form for the first password. Afterwards the login."""

    template_name = "back_office/invitation.html"
    success_url = reverse_lazy("admin:login")
    title = "Set your password"

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        return {"site_title": "Exchange", "site_header": "Exchange", **super().get_context_data(**context)}
