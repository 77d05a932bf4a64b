from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

OPERATOR = {"back_office.ask_engines"}
# As in 0002_roles: the administrator openly has the permissions of all roles.
ADDED = {"operator": OPERATOR, "administrator": OPERATOR}


def extend_roles(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Gives the roles, where they exist, the permission to ask for promotions."""
    database = schema_editor.connection.alias
    config = apps.get_app_config("back_office")
    config.models_module = True  # type: ignore[assignment]  # else nothing is made for historical models
    create_permissions(config, apps=apps, verbosity=0, using=database)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.using(database)
    given = permissions.get(content_type__app_label="back_office", codename="ask_engines")
    for group in apps.get_model("auth", "Group").objects.using(database).filter(name__in=ADDED):
        group.permissions.add(given)


class Migration(migrations.Migration):
    dependencies = [("back_office", "0006_api_key_roles")]
    operations = [
        migrations.AlterModelOptions(
            name="actionrequest",
            options={
                "default_permissions": ("view",),
                "permissions": [
                    ("ask_orders", "Can ask to cancel orders"),
                    ("ask_market", "Can ask to change instruments and add assets"),
                    ("ask_accounts", "Can ask to restrict, freeze and release accounts"),
                    ("ask_fees", "Can ask to change the fees of an account"),
                    ("ask_money", "Can ask for deposits, withdrawals and corrections"),
                    ("ask_engines", "Can ask to promote engines and rebuild projections"),
                    ("decide_request", "Can approve and refuse requests of others"),
                ],
            },
        ),
        migrations.RunPython(extend_roles, migrations.RunPython.noop),
    ]
