"""Records every change of a user, of a group and of their permissions, by pages and by commands.

Pages of the admin save in one transaction, so such a change and its record commit together. A command commits the
change first; killed between the two, it leaves no record.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from back_office.audit import records
from back_office.audit.codes import Action

Account = User | Group

_FIELDS: dict[type[Model], tuple[str, ...]] = {
    User: ("username", "first_name", "last_name", "email", "is_active", "is_staff", "is_superuser"),
    Group: ("name",),
}
_CODES = {
    User: (Action.USER_CREATED, Action.USER_CHANGED, Action.USER_DELETED),
    Group: (Action.GROUP_CREATED, Action.GROUP_CHANGED, Action.GROUP_DELETED),
}
_KEPT = "_audit_before"
"""Attribute of an object between the signals before and after a change."""


def connect() -> None:
    for model in (User, Group):
        name = model.__name__
        pre_save.connect(_before_save, sender=model, dispatch_uid=f"audit-before-save-{name}")
        post_save.connect(_after_save, sender=model, dispatch_uid=f"audit-after-save-{name}")
        pre_delete.connect(_before_delete, sender=model, dispatch_uid=f"audit-before-delete-{name}")
        post_delete.connect(_after_delete, sender=model, dispatch_uid=f"audit-after-delete-{name}")
    for relation in (User.groups, User.user_permissions, Group.permissions):
        table = relation.through
        m2m_changed.connect(_relation_changed, sender=table, dispatch_uid=f"audit-{table.__name__}")


def _target(account: Account) -> str:
    return f"user:{account.username}" if isinstance(account, User) else f"group:{account.name}"


def _fields(account: Account) -> dict[str, Any]:
    return {name: getattr(account, name) for name in _FIELDS[type(account)]}


def _stored(model: type[Account], key: int) -> Account | None:
    return model._default_manager.filter(pk=key).first()


def _before_save(sender: type[Account], instance: Account, update_fields: Any = None, **kwargs: object) -> None:
    if update_fields is not None and set(update_fields) == {"last_login"}:
        return  # every login saves it
    setattr(instance, _KEPT, _stored(sender, instance.pk) if instance.pk else None)


def _after_save(
    sender: type[Account], instance: Account, created: bool, update_fields: Any = None, **kwargs: object
) -> None:
    if created:
        records.append(_CODES[sender][0], target=_target(instance), after=_fields(instance))
        return
    old = instance.__dict__.pop(_KEPT, None)
    if old is None:
        return
    before, after = _fields(old), _fields(instance)
    changed = [name for name in before if before[name] != after[name]]
    states = [{name: state[name] for name in changed} for state in (before, after)]
    if _has_new_password(old, instance, update_fields):
        states = [{**states[0], "password": "old"}, {**states[1], "password": "new"}]
    if states[0]:
        records.append(_CODES[sender][1], target=_target(old), before=states[0], after=states[1])


def _has_new_password(old: Account, new: Account, update_fields: Any) -> bool:
    """Whether the password changed. The hash alone also changes at a login, if Django hashes more slowly than before.

    Django then saves the hash alone, without a new password in `_password`.
    """
    if not isinstance(new, User) or not isinstance(old, User) or old.password == new.password:
        return False
    is_hash_alone = update_fields is not None and set(update_fields) == {"password"}
    return not is_hash_alone or getattr(new, "_password", None) is not None


def _before_delete(sender: type[Account], instance: Account, **kwargs: object) -> None:
    state = _fields(instance)
    if isinstance(instance, User):
        state |= {"groups": _names(instance.groups.all()), "permissions": _names(instance.user_permissions.all())}
    else:
        state |= {"permissions": _names(instance.permissions.all()), "members": _names(instance.user_set.all())}
    setattr(instance, _KEPT, state)


def _after_delete(sender: type[Account], instance: Account, **kwargs: object) -> None:
    records.append(_CODES[sender][2], target=_target(instance), before=instance.__dict__.pop(_KEPT))


def _names(rows: Iterable[Model]) -> list[str]:
    """Natural keys, sorted: "admin", "settlement.view_order"."""
    return sorted(_name(row) for row in rows)


def _name(row: Any) -> str:
    """The natural key of a permission is (codename, app, model)."""
    codename_or_name, *app = row.natural_key()
    return f"{app[0]}.{codename_or_name}" if app else str(codename_or_name)


def _relation_changed(
    sender: type[Model], instance: Any, action: str, reverse: bool, model: type[Any], pk_set: Any, **kwargs: object
) -> None:
    """Groups or permissions of users, or permissions of groups, from either side of the relation."""
    if action.startswith("pre_"):
        owners = _owners(instance, model, pk_set) if reverse else [instance]
        vars(instance)[_KEPT + sender.__name__] = [(owner, _related(sender, owner)) for owner in owners]
        return
    for owner, before in vars(instance).pop(_KEPT + sender.__name__, []):
        after = _related(sender, owner)
        if before != after:
            name = _relation(sender)
            records.append(_CODES[type(owner)][1], target=_target(owner), before={name: before}, after={name: after})


def _relation(table: type[Model]) -> str:
    return "groups" if table is User.groups.through else "permissions"


def _related(table: type[Model], owner: Any) -> list[str]:
    name = {User.groups.through: "groups", User.user_permissions.through: "user_permissions"}.get(table, "permissions")
    return _names(getattr(owner, name).all())


def _owners(instance: Any, model: type[Any], pk_set: Any) -> list[Any]:
    """The users or groups that a change from the other side concerns; a clear (no `pk_set`) concerns all related."""
    if pk_set is not None:
        return list(model._default_manager.filter(pk__in=pk_set))
    return list(getattr(instance, "group_set" if model is Group else "user_set").all())
