"""Declares the tables of the SQL store (SQLite and PostgreSQL), and those that are in SQL for every store.

One database has one shard; another shard is another database alias. Integers are 64-bit and in the engine's units
(matching/core/layout.py). Hashes are 16 hex digits, because SQL has no unsigned 64-bit integers and people compare
hashes with logs. `settlement.stores.sql` reads and writes these tables with its own statements; migrations are made
from the classes here. Settled data is never edited.
"""

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Q

HASH_DIGITS = 16
DIGEST_DIGITS = 64  # SHA-256 in hexadecimal
IDENTITY_DIGITS = 32
SYMBOL_LENGTH = 32
TEXT_ID_LENGTH = 36
REFERENCE_LENGTH = 64
WORD_LENGTH = 16
"""Sides, kinds and statuses; the longest is `cancel_only`."""
LONG_WORD_LENGTH = 32
"""Order types and reasons; the longest is `insufficient_balance`."""
SIGNER_LENGTH = 80
"""Role, hyphen and name of a key; names have at most 64 characters."""
KIND_LENGTH = 32
"""Kinds of alarms; the longest is `store_unavailable`."""


class SequenceField(models.BigIntegerField):  # type: ignore[type-arg] # Django has no such classes to subscript
    """A 64-bit key that increases with time. In SQLite it is the row id, so rows are appended and need no index."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        # SQLite makes a primary key the row id only if its type is exactly "integer".
        return "integer" if connection.vendor == "sqlite" else super().db_type(connection)

    def rel_db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return self.db_type(connection)


class EngineBlock(models.Model):
    number = SequenceField(primary_key=True)
    hash = models.CharField(max_length=HASH_DIGITS)
    prev_hash = models.CharField(max_length=HASH_DIGITS)
    epoch = models.BigIntegerField()
    timestamp_ns = models.BigIntegerField()
    first_command_sequence = models.BigIntegerField()
    last_command_sequence = models.BigIntegerField()
    first_event_sequence = models.BigIntegerField()
    last_event_sequence = models.BigIntegerField()
    trade_count = models.BigIntegerField()
    data = models.BinaryField()  # last, so that reading the other columns does not touch its pages

    class Meta:
        db_table = "engine_blocks"
        indexes = [
            models.Index(fields=["last_event_sequence", "number"], name="engine_blocks_by_event"),
            models.Index(fields=["hash"], name="engine_blocks_by_hash"),
        ]


class EngineBlockPart(models.Model):
    """The bytes of a large block that do not fit into its own row (`settlement.stores.block_parts`)."""

    pk = models.CompositePrimaryKey("number", "part")
    number = models.BigIntegerField()
    part = models.BigIntegerField()  # 1, 2, …
    parts = models.BigIntegerField()  # the number of the block's last part
    data = models.BinaryField()

    class Meta:
        db_table = "engine_block_parts"


class SettledTrade(models.Model):
    trade_id = SequenceField(primary_key=True)
    block_number = models.BigIntegerField()
    timestamp_ns = models.BigIntegerField()
    symbol = models.CharField(max_length=SYMBOL_LENGTH)
    price = models.BigIntegerField()
    quantity = models.BigIntegerField()
    taker_side = models.CharField(max_length=WORD_LENGTH)
    maker_order_id = models.BigIntegerField()
    taker_order_id = models.BigIntegerField()
    buyer = models.BigIntegerField()
    seller = models.BigIntegerField()
    buyer_fee = models.BigIntegerField()
    seller_fee = models.BigIntegerField()
    trade_number = models.BigIntegerField(null=True)

    class Meta:
        db_table = "settled_trades"
        indexes = [
            models.Index(fields=["symbol", "trade_id"], name="settled_trades_by_symbol"),
            # An account trades few instruments, so their pages are merged for all of its trades.
            models.Index(fields=["buyer", "symbol", "trade_id"], name="settled_trades_of_buyer"),
            models.Index(fields=["seller", "symbol", "trade_id"], name="settled_trades_of_seller"),
        ]


class TradingDay(models.Model):
    day = models.DateField(primary_key=True)
    first_trade_id = models.BigIntegerField()
    last_trade_id = models.BigIntegerField()

    class Meta:
        db_table = "trading_days"


class Order(models.Model):
    order_id = SequenceField(primary_key=True)
    account = models.BigIntegerField()
    symbol = models.CharField(max_length=SYMBOL_LENGTH)
    side = models.CharField(max_length=WORD_LENGTH)
    order_type = models.CharField(max_length=LONG_WORD_LENGTH)
    time_in_force = models.CharField(max_length=WORD_LENGTH)
    post_only = models.BooleanField()
    self_trade_prevention = models.CharField(max_length=WORD_LENGTH)
    client_order_id = models.CharField(max_length=TEXT_ID_LENGTH, null=True)
    price = models.BigIntegerField(null=True)
    quantity = models.BigIntegerField(null=True)
    quote_quantity = models.BigIntegerField(null=True)
    filled = models.BigIntegerField()
    remaining = models.BigIntegerField()
    status = models.CharField(max_length=WORD_LENGTH)
    reason = models.CharField(max_length=LONG_WORD_LENGTH, null=True)
    placed_at_ns = models.BigIntegerField()
    updated_at_ns = models.BigIntegerField()
    updated_sequence = models.BigIntegerField()
    trigger_price = models.BigIntegerField(null=True)
    visible_quantity = models.BigIntegerField(null=True)
    order_list_id = models.BigIntegerField(null=True)
    triggered_at_ns = models.BigIntegerField(null=True)

    class Meta:
        db_table = "orders"
        indexes = [
            models.Index(fields=["account", "symbol", "order_id"], name="orders_of_account"),
            models.Index(
                fields=["account", "client_order_id", "order_id"],
                condition=Q(client_order_id__isnull=False),
                name="orders_by_client_order_id",
            ),
            models.Index(fields=["symbol", "order_id"], name="orders_by_symbol"),
            models.Index(
                fields=["order_id"], condition=Q(status__in=["open", "waiting"]), name="orders_open_or_waiting"
            ),
        ]


class LedgerEvent(models.Model):
    entry = SequenceField(primary_key=True)  # event_sequence * 16 + leg
    block_number = models.BigIntegerField()
    timestamp_ns = models.BigIntegerField()
    account = models.BigIntegerField()
    asset = models.CharField(max_length=SYMBOL_LENGTH)
    kind = models.CharField(max_length=WORD_LENGTH)
    delta_available = models.BigIntegerField()
    delta_locked = models.BigIntegerField()
    available_after = models.BigIntegerField()
    locked_after = models.BigIntegerField()

    class Meta:
        db_table = "ledger_events"
        # This index also serves an account's statement: accounts have few assets, whose pages are merged.
        indexes = [models.Index(fields=["account", "asset", "entry"], name="ledger_events_by_account")]


class Transfer(models.Model):
    event_sequence = SequenceField(primary_key=True)
    block_number = models.BigIntegerField()
    timestamp_ns = models.BigIntegerField()
    account = models.BigIntegerField()
    asset = models.CharField(max_length=SYMBOL_LENGTH)
    kind = models.CharField(max_length=WORD_LENGTH)
    amount = models.BigIntegerField()
    reference = models.CharField(max_length=REFERENCE_LENGTH)

    class Meta:
        db_table = "transfers"
        indexes = [models.Index(fields=["account", "reference", "event_sequence"], name="transfers_by_reference")]


class Balance(models.Model):
    pk = models.CompositePrimaryKey("account", "asset")
    account = models.BigIntegerField()
    asset = models.CharField(max_length=SYMBOL_LENGTH)
    available = models.BigIntegerField()
    locked = models.BigIntegerField()
    sequence = models.BigIntegerField()

    class Meta:
        db_table = "balances"


class AccountSetting(models.Model):
    """The last status that an operator has set for an account, and its own fee rates, now or earlier."""

    pk = models.CompositePrimaryKey("account", "kind", "symbol")
    account = models.BigIntegerField()
    kind = models.CharField(max_length=WORD_LENGTH)
    symbol = models.CharField(max_length=SYMBOL_LENGTH)
    status = models.CharField(max_length=WORD_LENGTH, null=True)
    maker_fee = models.BigIntegerField(null=True)
    taker_fee = models.BigIntegerField(null=True)
    sequence = models.BigIntegerField()

    class Meta:
        db_table = "account_settings"


class Candle(models.Model):
    pk = models.CompositePrimaryKey("symbol", "minute_ns")
    symbol = models.CharField(max_length=SYMBOL_LENGTH)
    minute_ns = models.BigIntegerField()
    open = models.BigIntegerField()
    high = models.BigIntegerField()
    low = models.BigIntegerField()
    close = models.BigIntegerField()
    volume = models.BigIntegerField()
    trade_count = models.BigIntegerField()
    last_trade_id = models.BigIntegerField()
    quote_volume = models.BigIntegerField(null=True)
    taker_buy_volume = models.BigIntegerField(null=True)
    taker_buy_quote_volume = models.BigIntegerField(null=True)

    class Meta:
        db_table = "candles"


class Definition(models.Model):
    event_sequence = SequenceField(primary_key=True)
    kind = models.BigIntegerField()
    text = models.TextField()

    class Meta:
        db_table = "definitions"


class SettlementCheckpoint(models.Model):
    stage = models.CharField(max_length=WORD_LENGTH, primary_key=True)  # "appended", "projected", "transfers"
    block_number = models.BigIntegerField()
    hash = models.CharField(max_length=HASH_DIGITS)
    epoch = models.BigIntegerField()

    class Meta:
        db_table = "settlement_checkpoints"


class ProjectionProgress(models.Model):
    """How far the block after the `projected` checkpoint is projected, if that is done in slices; one row at most."""

    block_number = SequenceField(primary_key=True)
    event_sequence = models.BigIntegerField()

    class Meta:
        db_table = "projection_progress"


class EngineEpoch(models.Model):
    """Which engine leads from which block on; `append_blocks` rejects later blocks of an older epoch."""

    number = SequenceField(primary_key=True)
    first_block = models.BigIntegerField()
    prev_hash = models.CharField(max_length=HASH_DIGITS)
    engine = models.TextField()
    commands = models.TextField()
    blocks = models.TextField()
    retransmission = models.TextField()
    began_at_ns = models.BigIntegerField()

    class Meta:
        db_table = "engine_epochs"


class StoreIdentity(models.Model):
    """The random identity of the store; one row, made once and never changed."""

    shard = SequenceField(primary_key=True)
    identity = models.CharField(max_length=IDENTITY_DIGITS)

    class Meta:
        db_table = "store_identities"


class KeyRegister(models.Model):
    """The signed register of keys (`matching.transport.key_register`), one row; `document` is its JSON."""

    shard = SequenceField(primary_key=True)
    serial = models.BigIntegerField()
    document = models.TextField()

    class Meta:
        db_table = "key_registers"


class SignedCheckpoint(models.Model):
    """A signed checkpoint (`matching.transport.signed_checkpoints`); `document` is its JSON."""

    pk = models.CompositePrimaryKey("block_number", "signer")
    block_number = models.BigIntegerField()
    signer = models.CharField(max_length=SIGNER_LENGTH)
    document = models.TextField()
    digest = models.CharField(max_length=DIGEST_DIGITS, null=True)  # that in the document; "": it has none

    class Meta:
        db_table = "signed_checkpoints"
        indexes = [models.Index(fields=["digest", "block_number", "signer"], name="signed_checkpoints_by_digest")]


class DeadLetter(models.Model):
    """A block whose projection the store rejected permanently, with its rows. In SQL for every store."""

    block_number = SequenceField(primary_key=True)
    error = models.TextField()
    attempts = models.BigIntegerField()
    first_failed_at_ns = models.BigIntegerField()
    last_failed_at_ns = models.BigIntegerField()
    resolved_at_ns = models.BigIntegerField(null=True)
    projection = models.TextField()

    class Meta:
        db_table = "dead_letters"
        indexes = [
            models.Index(fields=["block_number"], condition=Q(resolved_at_ns=None), name="dead_letters_unresolved")
        ]


class ReconciliationRun(models.Model):
    """A comparison of the engine's live state with the store's, or why it failed. In SQL for every store."""

    started_at = models.DateTimeField()
    source = models.CharField(max_length=WORD_LENGTH, null=True)  # "command", "schedule", "operator"; None: unknown
    block_number = models.BigIntegerField()  # 0 if it could not run
    state_hash = models.CharField(max_length=HASH_DIGITS)
    ok = models.BooleanField()  # compared, and nothing differs
    error = models.TextField(null=True)  # why it could not run
    difference_count = models.BigIntegerField()
    report = models.JSONField()  # what `manage.py reconcile --json` prints, with its first differences

    class Meta:
        db_table = "reconciliation_runs"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["id"], condition=Q(difference_count__gt=0), name="reconciliation_runs_differing")
        ]


class Alarm(models.Model):
    """An alarm for operators; at most one of each kind is raised at a time. In SQL for every store."""

    kind = models.CharField(max_length=KIND_LENGTH)
    severity = models.CharField(max_length=WORD_LENGTH)  # "warning", "critical"
    message = models.TextField()
    raised_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    cleared_at = models.DateTimeField(null=True)  # None: raised
    acknowledged_by = models.TextField(null=True)  # a user's name, kept after the user is deleted
    acknowledged_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "alarms"
        constraints = [models.UniqueConstraint(fields=["kind"], condition=Q(cleared_at=None), name="alarms_raised")]


class RebuildRequest(models.Model):
    """A rebuild of projections (`settlement.project.rebuild_requests`). In SQL for every store."""

    class State(models.TextChoices):
        ASKED = "asked"
        PROJECTING = "projecting"
        DONE = "done"
        REFUSED = "refused"

    number = models.BigIntegerField(primary_key=True)  # that of the action request
    from_block = models.BigIntegerField()
    state = models.CharField(max_length=WORD_LENGTH, choices=State.choices)
    to_block = models.BigIntegerField(default=0)  # the last block of the store when the rows were dropped
    projected = models.BigIntegerField(default=0)
    refusal = models.TextField(default="")  # one sentence

    class Meta:
        db_table = "rebuild_requests"
        default_permissions = ()


class Heartbeat(models.Model):
    """How often a process has shown that it lives (`settlement.alarms.heartbeats`). In SQL for every store."""

    name = models.CharField(max_length=WORD_LENGTH, primary_key=True)
    beats = models.BigIntegerField()
    turns = models.BigIntegerField()
    beat_at = models.DateTimeField()  # for people: by the clock of the process

    class Meta:
        db_table = "heartbeats"
