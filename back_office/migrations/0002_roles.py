from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

MARKET = ("settledtrade", "order", "ledgerevent", "definition", "engineblock", "alarm")
RECORDS = (*MARKET, "balance", "reconciliationrun", "deadletter")


def _views(*models: str) -> set[str]:
    return {f"settlement.view_{model}" for model in models}


VIEWER = _views(*MARKET)
SUPPORT = VIEWER | _views("balance")
FINANCE = SUPPORT | _views("reconciliationrun") | {"settlement.add_reconciliationrun"}
OPERATOR = _views(*RECORDS) | {
    "settlement.change_alarm",
    "settlement.add_reconciliationrun",
    "settlement.change_deadletter",
}
APPROVER = SUPPORT | _views("reconciliationrun")
AUDITOR = _views(*RECORDS) | {"auth.view_user", "auth.view_group", "back_office.view_auditrecord"}
# Somebody who makes accounts can make one for himself, so this role openly has the permissions of all roles.
ADMINISTRATOR = (
    (VIEWER | SUPPORT | FINANCE | OPERATOR | APPROVER | AUDITOR)
    | {f"auth.{kind}_user" for kind in ("add", "change", "delete")}
    | {"back_office.assign_roles"}
)
ROLES = {
    "viewer": VIEWER,
    "support": SUPPORT,
    "finance": FINANCE,
    "operator": OPERATOR,
    "approver": APPROVER,
    "auditor": AUDITOR,
    "administrator": ADMINISTRATOR,
}


def make_roles(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Makes the groups. One of that name that exists already keeps its permissions: they may be somebody's choice."""
    database = schema_editor.connection.alias
    for label in ("auth", "settlement", "back_office"):  # Django makes permissions only after the last migration
        config = apps.get_app_config(label)
        config.models_module = True  # type: ignore[assignment]  # else nothing is made for historical models
        create_permissions(config, apps=apps, verbosity=0, using=database)
        config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.using(database)
    by_name = {
        f"{one.content_type.app_label}.{one.codename}": one for one in permissions.select_related("content_type")
    }
    groups = apps.get_model("auth", "Group").objects.using(database)
    for name, needed in ROLES.items():
        group, is_new = groups.get_or_create(name=name)
        if is_new:
            group.permissions.set([by_name[one] for one in sorted(needed)])


class Migration(migrations.Migration):
    dependencies = [
        ("back_office", "0001_audit_log"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("settlement", "0011_heartbeats"),
    ]
    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
