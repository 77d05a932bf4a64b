"""Tables of the gateway: the API keys. They are in Django's database, whatever store settlement uses."""

from django.db import models

NAME_LENGTH = 64
LABEL_LENGTH = 100


class StoredApiKey(models.Model):
    """`material` is the encrypted secret of an HMAC key, else the public key in PEM form.

    `permissions` and `networks` are separated by commas. A revoked key stays, so that its name is never used again.
    """

    name = models.CharField(max_length=NAME_LENGTH, unique=True)
    account = models.BigIntegerField()
    type = models.CharField(max_length=16)
    material = models.BinaryField()
    permissions = models.CharField(max_length=32)
    networks = models.TextField(default="", blank=True)
    label = models.CharField(max_length=LABEL_LENGTH, default="", blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "api_keys"
        verbose_name = "API key"
        indexes = [models.Index(fields=["account"], name="api_keys_by_account")]

    def __str__(self) -> str:
        return self.name


class ApiKeyChanges(models.Model):
    """One row that counts changes of keys: gateways load the keys again when the number is another one."""

    id = models.IntegerField(primary_key=True, default=1)
    number = models.BigIntegerField(default=0)

    class Meta:
        db_table = "api_key_changes"
