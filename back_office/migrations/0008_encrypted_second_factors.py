from binascii import unhexlify

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from back_office.second_factor import stored


def encrypt(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Encrypts the secrets that are stored, and replaces backup codes by their digests."""
    database = schema_editor.connection.alias
    for device in apps.get_model("otp_totp", "TOTPDevice").objects.using(database).iterator():
        if not stored.is_encrypted(device.key):
            device.key = stored.encrypted(device.user_id, unhexlify(device.key))
            device.save(update_fields=["key"])
    tokens = apps.get_model("otp_static", "StaticToken").objects.using(database)
    for token in tokens.select_related("device").iterator():
        if len(token.token) < stored.DIGEST_CHARACTERS:
            token.token = stored.code_digest(token.device.user_id, token.token)
            token.save(update_fields=["token"])


def decrypt(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Decrypts the secrets, and deletes backup codes: nothing leads from a digest to its code."""
    database = schema_editor.connection.alias
    for device in apps.get_model("otp_totp", "TOTPDevice").objects.using(database).iterator():
        device.key = stored.decrypted(device.user_id, device.key).hex()
        device.save(update_fields=["key"])
    apps.get_model("otp_static", "StaticToken").objects.using(database).all().delete()


class Migration(migrations.Migration):
    dependencies = [
        ("back_office", "0007_ask_engines"),
        ("otp_static", "0003_add_timestamps"),
        ("otp_totp", "0003_add_timestamps"),
    ]
    operations = [
        migrations.CreateModel(
            name="AuthenticatorApp",
            fields=[],
            options={"proxy": True, "default_permissions": (), "indexes": [], "constraints": []},
            bases=("otp_totp.totpdevice",),
        ),
        migrations.CreateModel(
            name="BackupCodes",
            fields=[],
            options={"proxy": True, "default_permissions": (), "indexes": [], "constraints": []},
            bases=("otp_static.staticdevice",),
        ),
        migrations.RunPython(encrypt, decrypt),
    ]
