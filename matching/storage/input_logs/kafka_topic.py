"""Whether a topic can be a log of commands, and making one that can."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from matching.core.errors import LogNotReady
from matching.storage.input_logs import frames

log = structlog.get_logger(__name__)

PARTITION = 0
PATIENCE_S = 10.0
_RECORD_OVERHEAD_BYTES = 1024
_SHORTEST_RETENTION_MS = 7 * 24 * 3600 * 1000
_LEAST_MESSAGE_BYTES = frames.MOST_BYTES + _RECORD_OVERHEAD_BYTES
_NEEDED = ("message.timestamp.type", "cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes")
_NEEDED_OF_KAFKA = ("min.insync.replicas", "unclean.leader.election.enable")
_WHOLE = ("retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas")

Options = Mapping[str, object]
"""Of librdkafka: how brokers are reached, and as whom."""


class Topic(NamedTuple):
    name: str
    identity: str  # cluster, name and the id that the cluster gave it: another one when it is made anew


class Found(NamedTuple):
    """What there is of a topic."""

    partitions: int
    copies: int
    settings: Mapping[str, str]  # those that the cluster tells
    has_id: bool = True  # the cluster tells topics of one name apart

    @property
    def is_redpanda(self) -> bool:
        """It leads by majority: a broker that lacks commands cannot, and it has no settings that say so."""
        return any(name.startswith("redpanda.") for name in self.settings)


def find(servers: str, name: str, options: Options | None = None) -> Topic:
    """Raises LogNotReady: Kafka does not answer, or the topic is not there, or not as it has to be."""
    admin = _admin(servers, options)
    try:
        described = admin.describe_topics(TopicCollection([name]), request_timeout=PATIENCE_S)[name].result()
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        entries = admin.describe_configs([resource], request_timeout=PATIENCE_S)[resource].result()
        cluster = admin.describe_cluster(request_timeout=PATIENCE_S).result().cluster_id
    except KafkaException as error:
        raise _not_ready(servers, name, error) from error
    settings = {key: str(entry.value) for key, entry in entries.items() if entry.value is not None}
    copies = min((len(one.replicas) for one in described.partitions), default=0)
    found = Found(len(described.partitions), copies, settings, str(described.topic_id) != str(Uuid(0, 0)))
    reason = why_unfit(found)
    if reason:
        raise LogNotReady(f"Topic {name} cannot be the input log: {reason}")
    for doubt in doubts(found):
        log.warning(doubt, topic=name)
    return Topic(name, f"kafka:{cluster}/{name}/{described.topic_id}")


def create(servers: str, name: str, copies: int, options: Options | None = None) -> bool:
    """Makes the topic as it has to be; False where it is there already. Raises LogNotReady."""
    settings = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(max(_LEAST_MESSAGE_BYTES, 1 << 20)),
        "min.insync.replicas": str(min(2, copies)),
        "unclean.leader.election.enable": "false",
    }
    if copies == 1:  # no other broker has what this one's page cache loses
        settings["flush.messages"] = "1"
    topic = NewTopic(name, num_partitions=1, replication_factor=copies, config=settings)
    admin = _admin(servers, options)  # held: without it, what was asked for is given up
    try:
        admin.create_topics([topic], request_timeout=PATIENCE_S)[name].result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise _not_ready(servers, name, error) from error
    return True


def _admin(servers: str, options: Options | None) -> AdminClient:
    options = options or {}
    try:
        config: dict[str, Any] = {"log_level": 0, "socket.timeout.ms": 5000, **options, "bootstrap.servers": servers}
        return AdminClient(config)
    except KafkaException as error:
        given = f" with {', '.join(sorted(options))} of KAFKA_OPTIONS" if options else ""
        raise LogNotReady(f"KAFKA_BOOTSTRAP_SERVERS={servers}{given} cannot be used: {error}.") from error


def _not_ready(servers: str, name: str, error: KafkaException) -> LogNotReady:
    failure: Any = error.args[0]
    if failure.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        return LogNotReady(
            f"Kafka at {servers} has no topic {name}: make it with manage.py create_command_topic, or name another "
            "one in KAFKA_COMMAND_TOPIC."
        )
    if failure.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        return LogNotReady(
            f"Kafka at {servers} does not answer: start it, or mend KAFKA_BOOTSTRAP_SERVERS, or KAFKA_OPTIONS where it "
            "asks for TLS or a password."
        )
    return LogNotReady(f"Kafka at {servers} refuses topic {name}: {failure.str()}")


def why_unfit(found: Found) -> str:
    """The first thing that is wrong and what to do, "" where all is right."""
    settings = found.settings
    if found.partitions != 1:
        return f"it has {found.partitions} partitions and has to have one, which gives the one order of all commands."
    reason = _unreadable(found)
    if reason:
        return reason
    if settings["message.timestamp.type"] != "LogAppendTime":
        return (
            f"message.timestamp.type is {settings['message.timestamp.type']}, set it to LogAppendTime: the time of a "
            "block is when the log took it."
        )
    if settings["cleanup.policy"] != "delete":
        return f"cleanup.policy is {settings['cleanup.policy']}, set it to delete: compaction would remove commands."
    return _forgets(found) or _answers_too_early(found)


def _unreadable(found: Found) -> str:
    needed = _NEEDED if found.is_redpanda else _NEEDED + _NEEDED_OF_KAFKA
    for name in needed:
        if name not in found.settings:
            return (
                f"the cluster does not tell {name}, on which depends whether commands can be lost: let this account "
                "read the topic's configuration, or take a cluster that shows it."
            )
    for name in _WHOLE:
        if not re.fullmatch(r"-?\d+", found.settings.get(name, "0"), re.ASCII):
            return f"{name} is {found.settings[name]!r}, and has to be a whole number."
    return ""


def _forgets(found: Found) -> str:
    settings = found.settings
    retention_ms, retention_bytes = int(settings["retention.ms"]), int(settings["retention.bytes"])
    if retention_bytes >= 0:
        return f"retention.bytes is {retention_bytes}, set it to -1: many commands would push out others too early."
    if 0 <= retention_ms < _SHORTEST_RETENTION_MS:
        return (
            f"retention.ms is {retention_ms}, set it to -1 or at least to {_SHORTEST_RETENTION_MS} (a week): commands "
            "have to be there until settlement has their blocks."
        )
    if int(settings["max.message.bytes"]) < _LEAST_MESSAGE_BYTES:
        return f"max.message.bytes is {settings['max.message.bytes']}, set it to {_LEAST_MESSAGE_BYTES} or more."
    if settings.get("unclean.leader.election.enable", "false") != "false":
        return "unclean.leader.election.enable is true, set it to false: a broker that lacks commands could lead."
    return ""


def _answers_too_early(found: Found) -> str:
    # Redpanda has no such setting: there more than half of the copies hold whatever is answered with acks=all.
    at_least = int(found.settings.get("min.insync.replicas", found.copies // 2 + 1))
    if at_least > found.copies:
        return f"min.insync.replicas is {at_least} and there are {found.copies} copies: it could take nothing at all."
    if found.copies > 1 and at_least < 2:
        return "min.insync.replicas is 1, set it to 2: what is answered has to be on two brokers."
    if found.settings.get("write.caching") == "true":
        return "write.caching is true, set it to false: brokers would answer before a disk has what they answer for."
    return ""


def doubts(found: Found) -> list[str]:
    """What does not stop an engine, and what an operator has to know."""
    said = []
    if found.copies == 1:
        said.append("the topic has one copy only: what its broker loses is lost")
        if not found.is_redpanda and found.settings.get("flush.messages") != "1":
            said.append(
                "a power cut of the topic's one broker loses answered commands, as it answers before its disk has "
                "them: set flush.messages to 1, or have three copies"
            )
    if not found.has_id:
        said.append(
            "the cluster gives topics no id, so this one made anew would be taken for the old one: after deleting it, "
            "name another one in KAFKA_COMMAND_TOPIC"
        )
    return said
