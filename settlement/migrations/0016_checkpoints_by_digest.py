from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from settlement.stores.base import StoredCheckpoint

_ROWS = 1000


def fill_digests(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Of the checkpoints that an earlier version has stored."""
    with schema_editor.connection.cursor() as cursor:
        while True:
            cursor.execute(
                "SELECT block_number, signer, document FROM signed_checkpoints WHERE digest IS NULL LIMIT %s", [_ROWS]
            )
            found = [StoredCheckpoint(number, signer, text.encode()) for number, signer, text in cursor.fetchall()]
            if not found:
                return
            cursor.executemany(
                "UPDATE signed_checkpoints SET digest = %s WHERE block_number = %s AND signer = %s",
                [(one.digest, one.block_number, one.signer) for one in found],
            )


class Migration(migrations.Migration):
    dependencies = [("settlement", "0015_rebuild_requests")]
    operations = [
        migrations.AddField(
            model_name="signedcheckpoint",
            name="digest",
            field=models.CharField(max_length=64, null=True),
        ),
        migrations.AddIndex(
            model_name="signedcheckpoint",
            index=models.Index(fields=["digest", "block_number", "signer"], name="signed_checkpoints_by_digest"),
        ),
        migrations.RunPython(fill_digests, migrations.RunPython.noop),
    ]
