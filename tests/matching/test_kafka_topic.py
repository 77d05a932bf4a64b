"""A topic that cannot be the input log is refused with the setting that is wrong, and with what to do."""

import secrets

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from matching.errors import LogNotReady
from matching.input_logs import kafka_topic
from scripts.services import Running
from tests.conftest import free_ports
from tests.matching.kafka import delete_topic, is_made_anew, new_topic, until_known
from tests.matching.small_exchange import until

RIGHT = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
kafka_only = pytest.mark.services("kafka")


@kafka_only
@pytest.mark.parametrize(
    ("settings", "partitions", "reason"),
    [
        ({}, 2, "it has 2 partitions and has to have one"),
        ({"message.timestamp.type": "CreateTime"}, 1, "message.timestamp.type is CreateTime, set it to LogAppendTime"),
        ({"cleanup.policy": "compact"}, 1, "cleanup.policy is compact, set it to delete"),
        ({"retention.ms": "3600000"}, 1, "retention.ms is 3600000, set it to -1 or at least to 604800000"),
        ({"retention.bytes": "1000000"}, 1, "retention.bytes is 1000000, set it to -1"),
        ({"max.message.bytes": "1000000"}, 1, "max.message.bytes is 1000000, set it to 1001024 or more"),
        ({"unclean.leader.election.enable": "true"}, 1, "unclean.leader.election.enable is true, set it to false"),
        ({"min.insync.replicas": "2"}, 1, "min.insync.replicas is 2 and there are 1 copies"),
    ],
)
def test_what_is_wrong_with_a_topic_is_said(
    kafka: Running, settings: dict[str, str], partitions: int, reason: str
) -> None:
    name = f"test-{secrets.token_hex(6)}"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([NewTopic(name, partitions, 1, config={**RIGHT, **settings})])[name].result()
    until_known(kafka.address, name)
    with pytest.raises(LogNotReady, match=f"Topic {name} cannot be the input log: {reason}"):
        kafka_topic.find(kafka.address, name)


def test_an_answer_has_to_be_on_two_brokers_where_there_are_two() -> None:
    found = kafka_topic.Found(1, 3, {**RIGHT, **DEFAULTS, "min.insync.replicas": "1"})
    assert "min.insync.replicas is 1, set it to 2" in kafka_topic.why_unfit(found)
    assert not kafka_topic.why_unfit(kafka_topic.Found(1, 3, {**RIGHT, **DEFAULTS, "min.insync.replicas": "2"}))


DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.bytes": "-1",
    "max.message.bytes": "1048588",
    "unclean.leader.election.enable": "false",
}


@kafka_only
def test_a_topic_that_was_made_for_it_is_taken_and_known_again(kafka: Running) -> None:
    first = new_topic(kafka.address)
    assert kafka_topic.find(kafka.address, first.name) == first
    assert first.identity.startswith("kafka:")
    assert f"/{first.name}/" in first.identity
    delete_topic(kafka.address, first.name)
    until(lambda: is_made_anew(kafka.address, first.name), "the topic to be gone")
    assert kafka_topic.find(kafka.address, first.name).identity != first.identity


@kafka_only
def test_a_topic_that_is_not_there_is_said_with_the_remedy(kafka: Running) -> None:
    with pytest.raises(LogNotReady, match=r"no topic nowhere-to-be-found: make it with manage.py create_command_topic"):
        kafka_topic.find(kafka.address, "nowhere-to-be-found")


def test_a_kafka_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_topic, "PATIENCE_S", 1.0)
    with pytest.raises(LogNotReady, match="does not answer: start it, or mend KAFKA_BOOTSTRAP_SERVERS"):
        kafka_topic.find(f"127.0.0.1:{free_ports(1)[0]}", "any")
