"""Admin pages of users and groups in the theme's style. Settled data has pages of its own, not models here."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import BadRequest
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from back_office.access.permissions import ASSIGN_ROLES
from back_office.access.ranks import outranks
from back_office.invalid_requests import UNUSABLE
from back_office.second_factor import devices

admin.site.unregister([User, Group, TOTPDevice, StaticDevice])  # pages of ours show no secrets of devices


LOOKUPS = ("__exact", "__isnull", "__gte", "__lt")
SEARCH_CHARACTERS = 200
"""Every word is searched in every field: thousands of words would exceed the limits of a database query."""


class StrictChangeList:
    """Answers 400 to an invalid filter or search, where the admin would show the whole list or a database error.

    Must come before ModelAdmin in the list of base classes.
    """

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        try:
            return super().get_changelist_instance(request)  # type: ignore[misc]
        except IncorrectLookupParameters as error:
            raise BadRequest(UNUSABLE) from error

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if len(search_term) > SEARCH_CHARACTERS:
            raise BadRequest(f"A search can have at most {SEARCH_CHARACTERS} characters.")
        return super().get_search_results(request, queryset, search_term)  # type: ignore[misc,no-any-return]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allows only lookups that the admin's own links use.

        Some others fail on unchecked values, and a regular expression can keep a database busy for hours.
        """
        if "__" in lookup and not lookup.endswith(LOOKUPS):
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[misc,no-any-return]


PRIVILEGES = ("is_staff", "is_superuser", "groups", "user_permissions")
"""Fields of a user that give rights: only superusers change them, else `change_user` would give all rights."""

ROLE_FIELDS = ("is_staff", "groups")
"""Those of them that the permission ASSIGN_ROLES opens."""


@admin.register(User)
class StaffAdmin(StrictChangeList, UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]  # the theme ships no types
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    readonly_fields = ("second_factor",)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        found = super().get_fieldsets(request, obj)
        return found if obj is None else [*found, ("Second factor", {"fields": ("second_factor",)})]

    @admin.display(description="Second factor")
    def second_factor(self, user: User) -> SafeString:
        """A link to the page that resets it."""
        state = "set up" if devices.device_of(user) else "not set up"
        return format_html('<a href="{}">{}</a>', reverse("office:user_second_factor", args=[user.pk]), state)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        fields = tuple(super().get_readonly_fields(request, obj))
        if request.user.is_superuser:
            return fields
        given = ROLE_FIELDS if request.user.has_perm(ASSIGN_ROLES) else ()
        return (*fields, *(name for name in PRIVILEGES if name not in given))

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        """Offers the roles whose permissions the user has: nobody gives, to himself or others, more than he has."""
        if db_field.name == "groups" and not request.user.is_superuser:
            own = request.user.get_all_permissions()
            givable = [group.pk for group in Group.objects.all() if _permissions(group) <= own]
            options["queryset"] = Group.objects.filter(pk__in=givable)
        return super().formfield_for_manytomany(db_field, request, **options)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        with transaction.atomic():  # together with its record in the audit log
            return super().user_change_password(request, id, form_url)

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Also decides who may set the password of `obj`."""
        return super().has_change_permission(request, obj) and not outranks(obj, request.user)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and not outranks(obj, request.user)


def _permissions(group: Group) -> set[str]:
    rows = group.permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in rows}


@admin.register(Group)
class StaffGroupAdmin(StrictChangeList, GroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Only superusers change groups, because a group gives permissions to its members."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(request.user.is_superuser)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(request.user.is_superuser)
