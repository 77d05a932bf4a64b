from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

SEEING = {"gateway.view_storedapikey"}
ALL = SEEING | {"gateway.add_storedapikey", "gateway.change_storedapikey"}
# The administrator openly has the permissions of all roles, as in 0002_roles.
ADDED = {"support": SEEING, "operator": ALL, "auditor": SEEING, "administrator": ALL}


def extend_roles(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Gives the roles, where they exist, the permissions of API keys."""
    database = schema_editor.connection.alias
    config = apps.get_app_config("gateway")
    config.models_module = True  # type: ignore[assignment]  # else nothing is made for historical models
    create_permissions(config, apps=apps, verbosity=0, using=database)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.using(database)
    by_name = {f"gateway.{one.codename}": one for one in permissions.filter(content_type__app_label="gateway")}
    groups = apps.get_model("auth", "Group").objects.using(database)
    for group in groups.filter(name__in=ADDED):
        group.permissions.add(*(by_name[one] for one in sorted(ADDED[group.name])))


class Migration(migrations.Migration):
    dependencies = [("back_office", "0005_alarm_notifications"), ("gateway", "0001_api_keys")]
    operations = [migrations.RunPython(extend_roles, migrations.RunPython.noop)]
