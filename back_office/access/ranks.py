"""Who may act on whose account: nobody on that of somebody with more permissions."""

from copy import copy

from django.contrib.auth.models import AnonymousUser, User


def outranks(other: User | None, user: User | AnonymousUser) -> bool:
    """Whether `other` has a permission that `user` lacks: by setting a password for `other`, `user` would gain it.

    Inactive users count with all their permissions, because a user who may change them may also activate them.
    """
    if other is None or user.is_superuser:
        return False
    as_active = copy(other)
    as_active.is_active = True
    return other.is_superuser or not as_active.get_all_permissions() <= user.get_all_permissions()
