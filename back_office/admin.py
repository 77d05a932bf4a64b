"""Users and groups in the theme's dress. What was settled is no model here: its pages are `back_office`'s."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from back_office.odd_requests import UNUSABLE

admin.site.unregister([User, Group])


LOOKUPS = ("__exact", "__isnull", "__gte", "__lt")
SEARCH_CHARACTERS = 200
"""Each word is looked for in each field: a search of thousands is more than a database takes in one question."""


class RefusesOddQuestions:
    """Says that a filter or a search cannot be used; the admin would show the whole list, or blame the database.

    To stand before ModelAdmin.
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
            raise BadRequest(f"A search has {SEARCH_CHARACTERS} characters at most.")
        return super().get_search_results(request, queryset, search_term)  # type: ignore[misc,no-any-return]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only lookups that the admin's own links make. Of the others some fail on values that no form has checked, and
        a regular expression can keep a database busy for hours.
        """
        if "__" in lookup and not lookup.endswith(LOOKUPS):
            return False
        return super().lookup_allowed(lookup, value, request)  # type: ignore[misc,no-any-return]


@admin.register(User)
class StaffAdmin(RefusesOddQuestions, UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]  # the theme ships no types
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class StaffGroupAdmin(RefusesOddQuestions, GroupAdmin, ModelAdmin):  # type: ignore[misc]
    pass
