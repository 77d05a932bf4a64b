"""Kafka topics of tests, each with a unique name."""

import secrets

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from matching.core.errors import LogNotReady
from matching.storage.input_logs import kafka_topic
from matching.storage.input_logs.kafka_topic import Topic
from tests.matching.small_exchange import until


def new_topic(servers: str, name: str | None = None) -> Topic:
    """Creates a topic with the required settings and one copy. Raises LogNotReady if the name exists."""
    name = name or f"test-{secrets.token_hex(6)}"
    if not kafka_topic.create(servers, name, copies=1):
        raise LogNotReady(f"Topic {name} is there.")
    until_known(servers, name)
    return kafka_topic.find(servers, name)


def until_known(servers: str, name: str) -> None:
    """Waits until the brokers know a new topic."""
    admin = AdminClient({"bootstrap.servers": servers})

    def is_known() -> bool:
        try:
            admin.describe_topics(TopicCollection([name]))[name].result()
        except KafkaException:
            return False
        return True

    until(is_known, f"topic {name}")


def delete_topic(servers: str, name: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    admin.delete_topics([name])[name].result()


def is_recreated(servers: str, name: str) -> bool:
    """Whether the topic could be created again: Kafka deletes topics in the background."""
    try:
        new_topic(servers, name)
    except LogNotReady:
        return False
    return True
