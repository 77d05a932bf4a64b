"""Topics for tests, each with a name of its own."""

import secrets

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from matching.core.errors import LogNotReady
from matching.storage.input_logs import kafka_topic
from matching.storage.input_logs.kafka_topic import Topic
from tests.matching.small_exchange import until


def new_topic(servers: str, name: str | None = None) -> Topic:
    """As it has to be, with one copy. Raises LogNotReady where one of that name is there."""
    name = name or f"test-{secrets.token_hex(6)}"
    if not kafka_topic.create(servers, name, copies=1):
        raise LogNotReady(f"Topic {name} is there.")
    until_known(servers, name)
    return kafka_topic.find(servers, name)


def until_known(servers: str, name: str) -> None:
    """A topic that was made is not known at once."""
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


def is_made_anew(servers: str, name: str) -> bool:
    """Whether it could be made: one that was deleted is gone only after a while."""
    try:
        new_topic(servers, name)
    except LogNotReady:
        return False
    return True
