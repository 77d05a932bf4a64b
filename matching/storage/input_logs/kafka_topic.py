"""Checks whether a Kafka topic is configured safely for a command log, and creates such a topic."""

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
TIMEOUT_S = 10.0
_RECORD_OVERHEAD_BYTES = 1024
_MIN_RETENTION_MS = 7 * 24 * 3600 * 1000
_MIN_MESSAGE_BYTES = frames.MAX_BYTES + _RECORD_OVERHEAD_BYTES
_REQUIRED = ("message.timestamp.type", "cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes")
_REQUIRED_OF_KAFKA = ("min.insync.replicas", "unclean.leader.election.enable")
_INTEGERS = ("retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas")

Options = Mapping[str, object]
"""librdkafka options: how to reach the brokers, and credentials."""


class Topic(NamedTuple):
    name: str
    identity: str  # cluster, name and the topic's id, which changes if the topic is created again


class Found(NamedTuple):
    """Configuration of an existing topic."""

    partitions: int
    copies: int
    settings: Mapping[str, str]  # those that the cluster reports
    has_id: bool = True  # the cluster gives topics ids

    @property
    def is_redpanda(self) -> bool:
        """Redpanda elects leaders by majority, so a broker without all commands never leads.

        It lacks Kafka's settings.
        """
        return any(name.startswith("redpanda.") for name in self.settings)


def find(servers: str, name: str, options: Options | None = None) -> Topic:
    """The topic. Raises LogNotReady if Kafka does not answer, or the topic is missing or wrongly configured."""
    admin = _admin(servers, options)
    try:
        described = admin.describe_topics(TopicCollection([name]), request_timeout=TIMEOUT_S)[name].result()
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        entries = admin.describe_configs([resource], request_timeout=TIMEOUT_S)[resource].result()
        cluster = admin.describe_cluster(request_timeout=TIMEOUT_S).result().cluster_id
    except KafkaException as error:
        raise _not_ready(servers, name, error) from error
    settings = {key: str(entry.value) for key, entry in entries.items() if entry.value is not None}
    copies = min((len(one.replicas) for one in described.partitions), default=0)
    found = Found(len(described.partitions), copies, settings, str(described.topic_id) != str(Uuid(0, 0)))
    reason = unfit_reason(found)
    if reason:
        raise LogNotReady(f"Topic {name} cannot be the input log: {reason}")
    for risk in risks(found):
        log.warning("kafka.topic_risk", topic=name, risk=risk)
    return Topic(name, f"kafka:{cluster}/{name}/{described.topic_id}")


def create(servers: str, name: str, copies: int, options: Options | None = None) -> bool:
    """Creates the topic with safe settings. Returns False if it exists already. Raises LogNotReady."""
    settings = {
        "message.timestamp.type": "LogAppendTime",
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": str(max(_MIN_MESSAGE_BYTES, 1 << 20)),
        "min.insync.replicas": str(min(2, copies)),
        "unclean.leader.election.enable": "false",
    }
    if copies == 1:  # no other broker has a copy of what a power cut removes from the page cache
        settings["flush.messages"] = "1"
    topic = NewTopic(name, num_partitions=1, replication_factor=copies, config=settings)
    admin = _admin(servers, options)  # keep a reference: without it the request is cancelled
    try:
        admin.create_topics([topic], request_timeout=TIMEOUT_S)[name].result()
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
            f"Kafka at {servers} has no topic {name}: create it with manage.py create_command_topic, or name another "
            "one in KAFKA_COMMAND_TOPIC."
        )
    if failure.code() in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
        return LogNotReady(
            f"Kafka at {servers} does not answer: start it, or correct KAFKA_BOOTSTRAP_SERVERS, or KAFKA_OPTIONS if it "
            "requires TLS or a password."
        )
    return LogNotReady(f"Kafka at {servers} refuses topic {name}: {failure.str()}")


def unfit_reason(found: Found) -> str:
    """The first problem of the configuration and its remedy, "" if there is none."""
    settings = found.settings
    if found.partitions != 1:
        return f"it has {found.partitions} partitions and must have one, which gives all commands one order."
    reason = _unreported_setting(found)
    if reason:
        return reason
    if settings["message.timestamp.type"] != "LogAppendTime":
        return (
            f"message.timestamp.type is {settings['message.timestamp.type']}, set it to LogAppendTime: the time of a "
            "block is when the log stored it."
        )
    if settings["cleanup.policy"] != "delete":
        return f"cleanup.policy is {settings['cleanup.policy']}, set it to delete: compaction would remove commands."
    return _retention_problem(found) or _acknowledgement_problem(found)


def _unreported_setting(found: Found) -> str:
    needed = _REQUIRED if found.is_redpanda else _REQUIRED + _REQUIRED_OF_KAFKA
    for name in needed:
        if name not in found.settings:
            return (
                f"the cluster does not report {name}, which decides whether commands can be lost: let this account "
                "read the topic's configuration, or use a cluster that reports it."
            )
    for name in _INTEGERS:
        if not re.fullmatch(r"-?\d+", found.settings.get(name, "0"), re.ASCII):
            return f"{name} is {found.settings[name]!r}, and must be a whole number."
    return ""


def _retention_problem(found: Found) -> str:
    settings = found.settings
    retention_ms, retention_bytes = int(settings["retention.ms"]), int(settings["retention.bytes"])
    if retention_bytes >= 0:
        return f"retention.bytes is {retention_bytes}, set it to -1: new commands would remove older ones too early."
    if 0 <= retention_ms < _MIN_RETENTION_MS:
        return (
            f"retention.ms is {retention_ms}, set it to -1 or at least to {_MIN_RETENTION_MS} (a week): commands "
            "must be kept until settlement has their blocks."
        )
    if int(settings["max.message.bytes"]) < _MIN_MESSAGE_BYTES:
        return f"max.message.bytes is {settings['max.message.bytes']}, set it to {_MIN_MESSAGE_BYTES} or more."
    if settings.get("unclean.leader.election.enable", "false") != "false":
        return "unclean.leader.election.enable is true, set it to false: a broker that lacks commands could lead."
    return ""


def _acknowledgement_problem(found: Found) -> str:
    # Redpanda has no such setting: with acks=all more than half of the copies hold a message before it is acknowledged.
    at_least = int(found.settings.get("min.insync.replicas", found.copies // 2 + 1))
    if at_least > found.copies:
        return (
            f"min.insync.replicas is {at_least} and there are {found.copies} copies: it could not accept any message."
        )
    if found.copies > 1 and at_least < 2:
        return "min.insync.replicas is 1, set it to 2: answered commands must be on two brokers."
    if found.settings.get("write.caching") == "true":
        return "write.caching is true, set it to false: brokers would acknowledge messages before a disk has them."
    return ""


def risks(found: Found) -> list[str]:
    """Risks of the topic's set-up that an operator has to know, but that do not keep an engine from starting."""
    sentences = []
    if found.copies == 1:
        sentences.append("the topic has only one copy: messages that its broker loses are lost")
        if not found.is_redpanda and found.settings.get("flush.messages") != "1":
            sentences.append(
                "a power cut of the topic's one broker loses answered commands, as it acknowledges them before its "
                "disk has them: set flush.messages to 1, or use three copies"
            )
    if not found.has_id:
        sentences.append(
            "the cluster gives topics no id, so a topic that is deleted and created again looks like the old one: use "
            "another name in KAFKA_COMMAND_TOPIC after deleting it"
        )
    return sentences
