"""Settings of the engine."""

from exchange_site.settings.variables import env

env.group("Engine", read_by="engine")
_input_log = env.text(
    "INPUT_LOG",
    "",
    "Where commands are made durable before they are answered: `memory` (nowhere), `wal` (blocks in a local file), "
    "`kafka` (a topic that all replicas read).",
    read_by="engine, settlement",
    shown="`memory`; `wal` with `ENABLE_LOCAL_WAL=true`",
)
ENABLE_LOCAL_WAL = env.flag(
    "ENABLE_LOCAL_WAL",
    _input_log == "wal",
    "`true` is the same as `INPUT_LOG=wal`; if both are set, they must agree.",
    shown="`false`; `true` with `INPUT_LOG=wal`",
)
INPUT_LOG = _input_log or ("wal" if ENABLE_LOCAL_WAL else "memory")
ENGINE_COMMAND_ADDRESS = env.text(
    "ENGINE_COMMAND_ADDRESS",
    "tcp://127.0.0.1:5701",
    "ZeroMQ address for commands and queries; without keys loopback or `ipc://` only.",
    read_by="engine, settlement, gateway, web, worker, client commands",
)
ENGINE_BLOCK_ADDRESS = env.text(
    "ENGINE_BLOCK_ADDRESS",
    "tcp://127.0.0.1:5702",
    "ZeroMQ address where blocks are published; without keys loopback or `ipc://` only.",
    read_by="engine, settlement, gateway",
)
ENGINE_RETRANSMIT_ADDRESS = env.text(
    "ENGINE_RETRANSMIT_ADDRESS",
    "tcp://127.0.0.1:5703",
    "ZeroMQ address for retransmission and confirmation of blocks; without keys loopback or `ipc://` only.",
    read_by="engine, settlement, gateway",
)
ENGINE_HTTP_ADDRESS = env.text(
    "ENGINE_HTTP_ADDRESS",
    "127.0.0.1:9701",
    "HOST:PORT of the engine's health and metrics.",
    read_by="engine, run_exchange",
)
ENGINE_BLOCK_COMMANDS = env.whole(
    "ENGINE_BLOCK_COMMANDS",
    1024,
    "Maximum number of commands in a block; one more if it ends with a one-cancels-other, which is never cut.",
    unit="commands",
)
ENGINE_RING_BLOCKS = env.whole(
    "ENGINE_RING_BLOCKS",
    65_536,
    "Capacity of the retransmission ring. The engine halts if unconfirmed blocks fill it or `ENGINE_RING_BYTES`.",
    unit="blocks",
)
ENGINE_RING_BYTES = env.whole(
    "ENGINE_RING_BYTES", 1024**3, "Capacity of the retransmission ring in bytes.", unit="bytes"
)
ENGINE_CONNECTIONS = env.whole(
    "ENGINE_CONNECTIONS", 1000, "Maximum number of TCP connections to the engine's sockets.", unit="connections"
)
ENGINE_UNACKNOWLEDGED_BYTES = env.whole(
    "ENGINE_UNACKNOWLEDGED_BYTES",
    256 << 20,
    "Maximum number of sent bytes that wait in memory for one peer, because it does not read; for all peers together "
    "twice as many. Beyond it the engine closes connections.",
    unit="bytes",
)
ENGINE_READER_BYTES_A_SECOND = env.whole(
    "ENGINE_READER_BYTES_A_SECOND",
    64 << 20,
    "Maximum rate of requested blocks and snapshots, for all readers together.",
    unit="bytes/s",
)
ENGINE_TOUCHED_ORDERS = env.whole(
    "ENGINE_TOUCHED_ORDERS",
    1 << 16,
    "Maximum number of orders that commands may touch in a turn of the engine's loop. Senders who exceed it are served "
    "one after the other, after everybody else.",
    unit="orders",
)
ENGINE_SNAPSHOT_BLOCKS = env.whole(
    "ENGINE_SNAPSHOT_BLOCKS", 10_000, "Number of blocks between snapshots; 0: no snapshots.", unit="blocks"
)
ENGINE_SNAPSHOTS_KEPT = env.whole("ENGINE_SNAPSHOTS_KEPT", 3, "Number of snapshots to keep.", unit="snapshots")

KAFKA_BOOTSTRAP_SERVERS = env.text(
    "KAFKA_BOOTSTRAP_SERVERS",
    "",
    "Brokers as HOST:PORT, separated by commas; required for `INPUT_LOG=kafka`.",
    read_by="engine, create_command_topic",
)
KAFKA_COMMAND_TOPIC = env.text(
    "KAFKA_COMMAND_TOPIC", "exchange-commands", "Topic of the input log.", read_by="engine, create_command_topic"
)
KAFKA_OPTIONS = env.table(
    "KAFKA_OPTIONS",
    {},
    "Connection options of librdkafka (TLS, SASL) as a JSON object; values are never logged.",
    read_by="engine, create_command_topic",
)
ENGINE_REPLICAS = env.words(
    "ENGINE_REPLICAS",
    [],
    "Command addresses of all replicas that read the topic, including this one, separated by commas.",
    read_by="engine, settlement, gateway, web, worker, client commands",
)
