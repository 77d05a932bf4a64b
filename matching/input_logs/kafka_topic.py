"""Whether a topic can be a log of commands, and making one that can."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from matching.errors import LogNotReady
from matching.input_logs import frames

log = structlog.get_logger(__name__)

PARTITION = 0
PATIENCE_S = 10.0
_RECORD_OVERHEAD_BYTES = 1024
_SHORTEST_RETENTION_MS = 7 * 24 * 3600 * 1000
_LEAST_MESSAGE_BYTES = frames.MOST_BYTES + _RECORD_OVERHEAD_BYTES


class Topic(NamedTuple):
    name: str
    identity: str  # cluster, name and the id that the cluster gave it: another one when it is made anew


class Found(NamedTuple):
    """What there is of a topic."""

    partitions: int
    copies: int
    settings: Mapping[str, str]


def find(servers: str, name: str) -> Topic:
    """Raises LogNotReady: Kafka does not answer, or the topic is not there, or not as it has to be."""
    admin = _admin(servers)
    try:
        described = admin.describe_topics(TopicCollection([name]), request_timeout=PATIENCE_S)[name].result()
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        entries = admin.describe_configs([resource], request_timeout=PATIENCE_S)[resource].result()
        cluster = admin.describe_cluster(request_timeout=PATIENCE_S).result().cluster_id
    except KafkaException as error:
        raise _not_ready(servers, name, error) from error
    settings = {key: str(entry.value) for key, entry in entries.items()}
    copies = min((len(one.replicas) for one in described.partitions), default=0)
    reason = why_unfit(Found(len(described.partitions), copies, settings))
    if reason:
        raise LogNotReady(f"Topic {name} cannot be the input log: {reason}")
    if copies == 1:
        log.warning("the topic has one copy only: what its broker loses is lost", topic=name)
    return Topic(name, f"kafka:{cluster}/{name}/{described.topic_id}")


def create(servers: str, name: str, copies: int) -> None:
    """Makes the topic as it has to be. Raises LogNotReady, also where it is there already."""
    settings = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(max(_LEAST_MESSAGE_BYTES, 1 << 20)),
        "min.insync.replicas": str(min(2, copies)),
        "unclean.leader.election.enable": "false",
    }
    topic = NewTopic(name, num_partitions=1, replication_factor=copies, config=settings)
    admin = _admin(servers)  # held: without it, what was asked for is given up
    try:
        admin.create_topics([topic], request_timeout=PATIENCE_S)[name].result()
    except KafkaException as error:
        raise _not_ready(servers, name, error) from error


def _admin(servers: str) -> AdminClient:
    try:
        return AdminClient({"bootstrap.servers": servers, "log_level": 0, "socket.timeout.ms": 5000})
    except KafkaException as error:
        raise LogNotReady(f"KAFKA_BOOTSTRAP_SERVERS={servers} cannot be used: {error}.") from error


def _not_ready(servers: str, name: str, error: KafkaException) -> LogNotReady:
    failure: Any = error.args[0]
    if failure.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return LogNotReady(
            f"Kafka at {servers} has no topic {name}: make it with manage.py create_command_topic, or name another "
            "one in KAFKA_COMMAND_TOPIC."
        )
    if failure.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        return LogNotReady(f"Kafka at {servers} does not answer: start it, or mend KAFKA_BOOTSTRAP_SERVERS.")
    return LogNotReady(f"Kafka at {servers} refuses topic {name}: {failure.str()}")


def why_unfit(found: Found) -> str:
    """The first thing that is wrong and what to do, "" where all is right."""
    settings = found.settings
    # Redpanda has no such setting: there more than half of the copies hold whatever is answered with acks=all.
    at_least = int(settings.get("min.insync.replicas", found.copies // 2 + 1))
    retention_ms, retention_bytes = int(settings["retention.ms"]), int(settings["retention.bytes"])
    if found.partitions != 1:
        return f"it has {found.partitions} partitions and has to have one, which gives the one order of all commands."
    if settings["message.timestamp.type"] != "LogAppendTime":
        return (
            f"message.timestamp.type is {settings['message.timestamp.type']}, set it to LogAppendTime: the time of a "
            "block is when the log took it."
        )
    if settings["cleanup.policy"] != "delete":
        return f"cleanup.policy is {settings['cleanup.policy']}, set it to delete: compaction would remove commands."
    if retention_bytes >= 0:
        return f"retention.bytes is {retention_bytes}, set it to -1: many commands would push out others too early."
    if 0 <= retention_ms < _SHORTEST_RETENTION_MS:
        return (
            f"retention.ms is {retention_ms}, set it to -1 or at least to {_SHORTEST_RETENTION_MS} (a week): commands "
            "have to be there until settlement has their blocks."
        )
    if int(settings["max.message.bytes"]) < _LEAST_MESSAGE_BYTES:
        return f"max.message.bytes is {settings['max.message.bytes']}, set it to {_LEAST_MESSAGE_BYTES} or more."
    if settings.get("unclean.leader.election.enable") == "true":
        return "unclean.leader.election.enable is true, set it to false: a broker that lacks commands could lead."
    if at_least > found.copies:
        return f"min.insync.replicas is {at_least} and there are {found.copies} copies: it could take nothing at all."
    if found.copies > 1 and at_least < 2:
        return "min.insync.replicas is 1, set it to 2: what is answered has to be on two brokers."
    return ""
