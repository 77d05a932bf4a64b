-- The tables of the SQL store, as `manage.py migrate` makes them in SQLite; PostgreSQL's have the same names and keys.
-- A test checks that this file equals the models (settlement/models.py). docs/decisions/0013-rows-of-the-store.md says
-- what rows and keys mean.

BEGIN;
--
-- Create model Balance
--
CREATE TABLE "balances" ("account" bigint NOT NULL, "asset" varchar(32) NOT NULL, "available" bigint NOT NULL, "locked" bigint NOT NULL, "sequence" bigint NOT NULL, PRIMARY KEY ("account", "asset"));
--
-- Create model Candle
--
CREATE TABLE "candles" ("symbol" varchar(32) NOT NULL, "minute_ns" bigint NOT NULL, "open" bigint NOT NULL, "high" bigint NOT NULL, "low" bigint NOT NULL, "close" bigint NOT NULL, "volume" bigint NOT NULL, "trade_count" bigint NOT NULL, "last_trade_id" bigint NOT NULL, PRIMARY KEY ("symbol", "minute_ns"));
--
-- Create model Definition
--
CREATE TABLE "definitions" ("event_sequence" integer NOT NULL PRIMARY KEY, "kind" bigint NOT NULL, "text" text NOT NULL);
--
-- Create model ReconciliationRun
--
CREATE TABLE "reconciliation_runs" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "started_at" datetime NOT NULL, "block_number" bigint NOT NULL, "state_hash" varchar(16) NOT NULL, "ok" bool NOT NULL, "difference_count" bigint NOT NULL, "report" text NOT NULL CHECK ((JSON_VALID("report") OR "report" IS NULL)));
--
-- Create model SettlementCheckpoint
--
CREATE TABLE "settlement_checkpoints" ("stage" varchar(16) NOT NULL PRIMARY KEY, "block_number" bigint NOT NULL, "hash" varchar(16) NOT NULL, "epoch" bigint NOT NULL);
--
-- Create model TradingDay
--
CREATE TABLE "trading_days" ("day" date NOT NULL PRIMARY KEY, "first_trade_id" bigint NOT NULL, "last_trade_id" bigint NOT NULL);
--
-- Create model DeadLetter
--
CREATE TABLE "dead_letters" ("block_number" integer NOT NULL PRIMARY KEY, "error" text NOT NULL, "attempts" bigint NOT NULL, "first_failed_at_ns" bigint NOT NULL, "last_failed_at_ns" bigint NOT NULL, "resolved_at_ns" bigint NULL, "projection" text NOT NULL);
--
-- Create model EngineBlock
--
CREATE TABLE "engine_blocks" ("number" integer NOT NULL PRIMARY KEY, "hash" varchar(16) NOT NULL, "prev_hash" varchar(16) NOT NULL, "epoch" bigint NOT NULL, "timestamp_ns" bigint NOT NULL, "first_command_sequence" bigint NOT NULL, "last_command_sequence" bigint NOT NULL, "first_event_sequence" bigint NOT NULL, "last_event_sequence" bigint NOT NULL, "trade_count" bigint NOT NULL, "data" BLOB NOT NULL);
--
-- Create model LedgerEvent
--
CREATE TABLE "ledger_events" ("entry" integer NOT NULL PRIMARY KEY, "block_number" bigint NOT NULL, "timestamp_ns" bigint NOT NULL, "account" bigint NOT NULL, "asset" varchar(32) NOT NULL, "kind" varchar(16) NOT NULL, "delta_available" bigint NOT NULL, "delta_locked" bigint NOT NULL, "available_after" bigint NOT NULL, "locked_after" bigint NOT NULL);
--
-- Create model Order
--
CREATE TABLE "orders" ("order_id" integer NOT NULL PRIMARY KEY, "account" bigint NOT NULL, "symbol" varchar(32) NOT NULL, "side" varchar(16) NOT NULL, "order_type" varchar(16) NOT NULL, "time_in_force" varchar(16) NOT NULL, "post_only" bool NOT NULL, "self_trade_prevention" varchar(16) NOT NULL, "client_order_id" varchar(36) NULL, "price" bigint NULL, "quantity" bigint NULL, "quote_quantity" bigint NULL, "filled" bigint NOT NULL, "remaining" bigint NOT NULL, "status" varchar(16) NOT NULL, "reason" varchar(16) NULL, "placed_at_ns" bigint NOT NULL, "updated_at_ns" bigint NOT NULL, "updated_sequence" bigint NOT NULL);
--
-- Create model SettledTrade
--
CREATE TABLE "settled_trades" ("trade_id" integer NOT NULL PRIMARY KEY, "block_number" bigint NOT NULL, "timestamp_ns" bigint NOT NULL, "symbol" varchar(32) NOT NULL, "price" bigint NOT NULL, "quantity" bigint NOT NULL, "taker_side" varchar(16) NOT NULL, "maker_order_id" bigint NOT NULL, "taker_order_id" bigint NOT NULL, "buyer" bigint NOT NULL, "seller" bigint NOT NULL, "buyer_fee" bigint NOT NULL, "seller_fee" bigint NOT NULL);
CREATE INDEX "dead_letters_unresolved" ON "dead_letters" ("block_number") WHERE "resolved_at_ns" IS NULL;
CREATE INDEX "engine_blocks_by_event" ON "engine_blocks" ("last_event_sequence", "number");
CREATE INDEX "ledger_events_by_account" ON "ledger_events" ("account", "asset", "entry");
CREATE INDEX "orders_by_account" ON "orders" ("account", "order_id");
CREATE INDEX "orders_by_symbol" ON "orders" ("symbol", "order_id");
CREATE INDEX "orders_open" ON "orders" ("order_id") WHERE "status" = 'open';
CREATE INDEX "settled_trades_by_symbol" ON "settled_trades" ("symbol", "trade_id");
CREATE INDEX "settled_trades_by_buyer" ON "settled_trades" ("buyer", "trade_id");
CREATE INDEX "settled_trades_by_seller" ON "settled_trades" ("seller", "trade_id");
COMMIT;
BEGIN;
--
-- Create model EngineEpoch
--
CREATE TABLE "engine_epochs" ("number" integer NOT NULL PRIMARY KEY, "first_block" bigint NOT NULL, "prev_hash" varchar(16) NOT NULL, "engine" text NOT NULL, "commands" text NOT NULL, "blocks" text NOT NULL, "retransmission" text NOT NULL, "began_at_ns" bigint NOT NULL);
COMMIT;
BEGIN;
--
-- Create model Alarm
--
CREATE TABLE "alarms" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "kind" varchar(32) NOT NULL, "severity" varchar(16) NOT NULL, "message" text NOT NULL, "raised_at" datetime NOT NULL, "last_seen_at" datetime NOT NULL, "cleared_at" datetime NULL, "acknowledged_by" text NULL, "acknowledged_at" datetime NULL);
--
-- Add field error to reconciliationrun
--
ALTER TABLE "reconciliation_runs" ADD COLUMN "error" text NULL;
--
-- Add field source to reconciliationrun
--
ALTER TABLE "reconciliation_runs" ADD COLUMN "source" varchar(16) NULL;
--
-- Create index reconciliation_runs_differing on field(s) id of model reconciliationrun
--
CREATE INDEX "reconciliation_runs_differing" ON "reconciliation_runs" ("id") WHERE "difference_count" > 0;
--
-- Create constraint alarms_raised on model alarm
--
CREATE UNIQUE INDEX "alarms_raised" ON "alarms" ("kind") WHERE "cleared_at" IS NULL;
COMMIT;
BEGIN;
--
-- Create model EngineBlockPart
--
CREATE TABLE "engine_block_parts" ("number" bigint NOT NULL, "part" bigint NOT NULL, "parts" bigint NOT NULL, "data" BLOB NOT NULL, PRIMARY KEY ("number", "part"));
COMMIT;
BEGIN;
--
-- Create model ProjectionProgress
--
CREATE TABLE "projection_progress" ("block_number" integer NOT NULL PRIMARY KEY, "event_sequence" bigint NOT NULL);
COMMIT;
BEGIN;
--
-- Create model StoreIdentity
--
CREATE TABLE "store_identities" ("shard" integer NOT NULL PRIMARY KEY, "identity" varchar(32) NOT NULL);
COMMIT;
BEGIN;
--
-- Create model KeyRegister
--
CREATE TABLE "key_registers" ("shard" integer NOT NULL PRIMARY KEY, "serial" bigint NOT NULL, "document" text NOT NULL);
COMMIT;
BEGIN;
--
-- Create model SignedCheckpoint
--
CREATE TABLE "signed_checkpoints" ("block_number" bigint NOT NULL, "signer" varchar(80) NOT NULL, "document" text NOT NULL, PRIMARY KEY ("block_number", "signer"));
COMMIT;
BEGIN;
--
-- Create model AccountSetting
--
CREATE TABLE "account_settings" ("account" bigint NOT NULL, "kind" varchar(16) NOT NULL, "symbol" varchar(32) NOT NULL, "status" varchar(16) NULL, "maker_fee" bigint NULL, "taker_fee" bigint NULL, "sequence" bigint NOT NULL, PRIMARY KEY ("account", "kind", "symbol"));
--
-- Remove index orders_open from order
--
DROP INDEX "orders_open";
--
-- Add field order_list_id to order
--
ALTER TABLE "orders" ADD COLUMN "order_list_id" bigint NULL;
--
-- Add field trigger_price to order
--
ALTER TABLE "orders" ADD COLUMN "trigger_price" bigint NULL;
--
-- Add field triggered_at_ns to order
--
ALTER TABLE "orders" ADD COLUMN "triggered_at_ns" bigint NULL;
--
-- Add field visible_quantity to order
--
ALTER TABLE "orders" ADD COLUMN "visible_quantity" bigint NULL;
--
-- Add field trade_number to settledtrade
--
ALTER TABLE "settled_trades" ADD COLUMN "trade_number" bigint NULL;
--
-- Alter field order_type on order
--
CREATE TABLE "new__orders" ("order_id" integer NOT NULL PRIMARY KEY, "account" bigint NOT NULL, "symbol" varchar(32) NOT NULL, "side" varchar(16) NOT NULL, "time_in_force" varchar(16) NOT NULL, "post_only" bool NOT NULL, "self_trade_prevention" varchar(16) NOT NULL, "client_order_id" varchar(36) NULL, "price" bigint NULL, "quantity" bigint NULL, "quote_quantity" bigint NULL, "filled" bigint NOT NULL, "remaining" bigint NOT NULL, "status" varchar(16) NOT NULL, "reason" varchar(16) NULL, "placed_at_ns" bigint NOT NULL, "updated_at_ns" bigint NOT NULL, "updated_sequence" bigint NOT NULL, "order_list_id" bigint NULL, "trigger_price" bigint NULL, "triggered_at_ns" bigint NULL, "visible_quantity" bigint NULL, "order_type" varchar(32) NOT NULL);
INSERT INTO "new__orders" ("order_id", "account", "symbol", "side", "time_in_force", "post_only", "self_trade_prevention", "client_order_id", "price", "quantity", "quote_quantity", "filled", "remaining", "status", "reason", "placed_at_ns", "updated_at_ns", "updated_sequence", "order_list_id", "trigger_price", "triggered_at_ns", "visible_quantity", "order_type") SELECT "order_id", "account", "symbol", "side", "time_in_force", "post_only", "self_trade_prevention", "client_order_id", "price", "quantity", "quote_quantity", "filled", "remaining", "status", "reason", "placed_at_ns", "updated_at_ns", "updated_sequence", "order_list_id", "trigger_price", "triggered_at_ns", "visible_quantity", "order_type" FROM "orders";
DROP TABLE "orders";
ALTER TABLE "new__orders" RENAME TO "orders";
CREATE INDEX "orders_by_account" ON "orders" ("account", "order_id");
CREATE INDEX "orders_by_symbol" ON "orders" ("symbol", "order_id");
--
-- Alter field reason on order
--
CREATE TABLE "new__orders" ("order_id" integer NOT NULL PRIMARY KEY, "account" bigint NOT NULL, "symbol" varchar(32) NOT NULL, "side" varchar(16) NOT NULL, "order_type" varchar(32) NOT NULL, "time_in_force" varchar(16) NOT NULL, "post_only" bool NOT NULL, "self_trade_prevention" varchar(16) NOT NULL, "client_order_id" varchar(36) NULL, "price" bigint NULL, "quantity" bigint NULL, "quote_quantity" bigint NULL, "filled" bigint NOT NULL, "remaining" bigint NOT NULL, "status" varchar(16) NOT NULL, "placed_at_ns" bigint NOT NULL, "updated_at_ns" bigint NOT NULL, "updated_sequence" bigint NOT NULL, "order_list_id" bigint NULL, "trigger_price" bigint NULL, "triggered_at_ns" bigint NULL, "visible_quantity" bigint NULL, "reason" varchar(32) NULL);
INSERT INTO "new__orders" ("order_id", "account", "symbol", "side", "order_type", "time_in_force", "post_only", "self_trade_prevention", "client_order_id", "price", "quantity", "quote_quantity", "filled", "remaining", "status", "placed_at_ns", "updated_at_ns", "updated_sequence", "order_list_id", "trigger_price", "triggered_at_ns", "visible_quantity", "reason") SELECT "order_id", "account", "symbol", "side", "order_type", "time_in_force", "post_only", "self_trade_prevention", "client_order_id", "price", "quantity", "quote_quantity", "filled", "remaining", "status", "placed_at_ns", "updated_at_ns", "updated_sequence", "order_list_id", "trigger_price", "triggered_at_ns", "visible_quantity", "reason" FROM "orders";
DROP TABLE "orders";
ALTER TABLE "new__orders" RENAME TO "orders";
CREATE INDEX "orders_by_account" ON "orders" ("account", "order_id");
CREATE INDEX "orders_by_symbol" ON "orders" ("symbol", "order_id");
--
-- Create index orders_open_or_waiting on field(s) order_id of model order
--
CREATE INDEX "orders_open_or_waiting" ON "orders" ("order_id") WHERE "status" IN ('open', 'waiting');
COMMIT;
BEGIN;
--
-- Remove index orders_by_account from order
--
DROP INDEX "orders_by_account";
--
-- Remove index settled_trades_by_buyer from settledtrade
--
DROP INDEX "settled_trades_by_buyer";
--
-- Remove index settled_trades_by_seller from settledtrade
--
DROP INDEX "settled_trades_by_seller";
--
-- Create index orders_of_account on field(s) account, symbol, order_id of model order
--
CREATE INDEX "orders_of_account" ON "orders" ("account", "symbol", "order_id");
--
-- Create index orders_by_client_order_id on field(s) account, client_order_id, order_id of model order
--
CREATE INDEX "orders_by_client_order_id" ON "orders" ("account", "client_order_id", "order_id") WHERE "client_order_id" IS NOT NULL;
--
-- Create index settled_trades_of_buyer on field(s) buyer, symbol, trade_id of model settledtrade
--
CREATE INDEX "settled_trades_of_buyer" ON "settled_trades" ("buyer", "symbol", "trade_id");
--
-- Create index settled_trades_of_seller on field(s) seller, symbol, trade_id of model settledtrade
--
CREATE INDEX "settled_trades_of_seller" ON "settled_trades" ("seller", "symbol", "trade_id");
COMMIT;
BEGIN;
--
-- Create model Heartbeat
--
CREATE TABLE "heartbeats" ("name" varchar(16) NOT NULL PRIMARY KEY, "beats" bigint NOT NULL, "turns" bigint NOT NULL, "beat_at" datetime NOT NULL);
COMMIT;
BEGIN;
--
-- Add field quote_volume to candle
--
ALTER TABLE "candles" ADD COLUMN "quote_volume" bigint NULL;
--
-- Add field taker_buy_quote_volume to candle
--
ALTER TABLE "candles" ADD COLUMN "taker_buy_quote_volume" bigint NULL;
--
-- Add field taker_buy_volume to candle
--
ALTER TABLE "candles" ADD COLUMN "taker_buy_volume" bigint NULL;
COMMIT;
BEGIN;
--
-- Create model Transfer
--
CREATE TABLE "transfers" ("event_sequence" integer NOT NULL PRIMARY KEY, "block_number" bigint NOT NULL, "timestamp_ns" bigint NOT NULL, "account" bigint NOT NULL, "asset" varchar(32) NOT NULL, "kind" varchar(16) NOT NULL, "amount" bigint NOT NULL, "reference" varchar(64) NOT NULL);
--
-- Raw SQL operation
--
INSERT INTO settlement_checkpoints (stage, block_number, hash, epoch) SELECT 'transfers', block_number + (SELECT COUNT(*) FROM projection_progress), hash, epoch FROM settlement_checkpoints WHERE stage = 'projected' AND block_number > 0;
CREATE INDEX "transfers_by_reference" ON "transfers" ("account", "reference", "event_sequence");
COMMIT;
BEGIN;
--
-- Create index engine_blocks_by_hash on field(s) hash of model engineblock
--
CREATE INDEX "engine_blocks_by_hash" ON "engine_blocks" ("hash");
COMMIT;
BEGIN;
--
-- Create model RebuildRequest
--
CREATE TABLE "rebuild_requests" ("number" bigint NOT NULL PRIMARY KEY, "from_block" bigint NOT NULL, "state" varchar(16) NOT NULL, "to_block" bigint NOT NULL, "projected" bigint NOT NULL, "refusal" text NOT NULL);
COMMIT;
BEGIN;
--
-- Add field digest to signedcheckpoint
--
ALTER TABLE "signed_checkpoints" ADD COLUMN "digest" varchar(64) NULL;
--
-- Create index signed_checkpoints_by_digest on field(s) digest, block_number, signer of model signedcheckpoint
--
CREATE INDEX "signed_checkpoints_by_digest" ON "signed_checkpoints" ("digest", "block_number", "signer");
--
-- Raw Python operation
--
-- THIS OPERATION CANNOT BE WRITTEN AS SQL
COMMIT;
