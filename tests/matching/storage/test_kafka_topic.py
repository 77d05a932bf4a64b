"""An unsuitable topic is refused with a sentence that names the wrong setting and what to do."""

import secrets
from io import StringIO
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from django.core.management import CommandError, call_command
from pytest_django import Settings

from exchange_site.operations.free_addresses import free_http_address
from matching.core.errors import LogNotReady
from matching.storage.input_logs import kafka_topic
from matching.storage.input_logs.kafka_topic import Found
from scripts.services import Running
from tests.matching.kafka import delete_topic, is_recreated, new_topic, until_known
from tests.matching.small_exchange import until

RIGHT = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
kafka_only = pytest.mark.services("kafka")


@kafka_only
@pytest.mark.parametrize(
    ("settings", "partitions", "reason"),
    [
        ({}, 2, "it has 2 partitions and must have one"),
        ({"message.timestamp.type": "CreateTime"}, 1, "message.timestamp.type is CreateTime, set it to LogAppendTime"),
        ({"cleanup.policy": "compact"}, 1, "cleanup.policy is compact, set it to delete"),
        ({"retention.ms": "3600000"}, 1, "retention.ms is 3600000, set it to -1 or at least to 604800000"),
        ({"retention.bytes": "1000000"}, 1, "retention.bytes is 1000000, set it to -1"),
        ({"max.message.bytes": "1000000"}, 1, "max.message.bytes is 1000000, set it to 1001024 or more"),
        ({"unclean.leader.election.enable": "true"}, 1, "unclean.leader.election.enable is true, set it to false"),
        ({"min.insync.replicas": "2"}, 1, "min.insync.replicas is 2 and there are 1 copies"),
    ],
)
def test_an_unsuitable_topic_setting_is_reported(
    kafka: Running, settings: dict[str, str], partitions: int, reason: str
) -> None:
    name = f"test-{secrets.token_hex(6)}"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([NewTopic(name, partitions, 1, config={**RIGHT, **settings})])[name].result()
    until_known(kafka.address, name)
    with pytest.raises(LogNotReady, match=f"Topic {name} cannot be the input log: {reason}"):
        kafka_topic.find(kafka.address, name)


DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.bytes": "-1",
    "max.message.bytes": "1048588",
    "unclean.leader.election.enable": "false",
}
FIT = {**RIGHT, **DEFAULTS, "min.insync.replicas": "2"}
REDPANDA = {**RIGHT, **DEFAULTS, "redpanda.remote.read": "false", "write.caching": "false"}
del REDPANDA["unclean.leader.election.enable"]


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in FIT.items() if key != name}


def test_messages_are_acknowledged_by_two_brokers_if_there_are_two() -> None:
    found = Found(1, 3, {**FIT, "min.insync.replicas": "1"})
    assert "min.insync.replicas is 1, set it to 2" in kafka_topic.unfit_reason(found)
    assert not kafka_topic.unfit_reason(Found(1, 3, FIT))


@pytest.mark.parametrize("name", FIT)
def test_a_setting_that_the_cluster_does_not_report_is_named(name: str) -> None:
    reason = kafka_topic.unfit_reason(Found(1, 3, without(name)))
    assert reason.startswith(f"the cluster does not report {name}, which decides whether commands can be lost")


@pytest.mark.parametrize("name", ["retention.ms", "retention.bytes", "max.message.bytes", "min.insync.replicas"])
def test_a_setting_that_is_not_a_number_is_reported(name: str) -> None:
    reason = kafka_topic.unfit_reason(Found(1, 3, {**FIT, name: "many"}))
    assert reason == f"{name} is 'many', and must be a whole number."


@kafka_only
def test_a_value_that_the_cluster_hides_is_reported(kafka: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some hosted clusters do; the broker of this test does not."""

    describe = AdminClient.describe_configs

    def hiding(admin: AdminClient, *args: Any, **options: Any) -> Any:
        described = describe(admin, *args, **options)
        for answer in described.values():
            answer.result()["retention.ms"].value = None
        return described

    name = new_topic(kafka.address).name
    monkeypatch.setattr(AdminClient, "describe_configs", hiding)
    with pytest.raises(LogNotReady, match=r"cannot be the input log: the cluster does not report retention\.ms"):
        kafka_topic.find(kafka.address, name)


def test_redpanda_needs_no_flush_settings() -> None:
    assert not kafka_topic.unfit_reason(Found(1, 3, REDPANDA))
    assert not kafka_topic.unfit_reason(Found(1, 1, REDPANDA))


def test_a_redpanda_that_answers_before_its_disk_has_the_command_is_refused() -> None:
    reason = kafka_topic.unfit_reason(Found(1, 3, {**REDPANDA, "write.caching": "true"}))
    assert reason.startswith("write.caching is true, set it to false")


def test_a_topic_that_can_lose_messages_in_a_power_cut_is_reported() -> None:
    one = {**FIT, "min.insync.replicas": "1"}
    assert "a power cut of the topic's one broker loses answered commands" in kafka_topic.risks(Found(1, 1, one))[1]
    assert len(kafka_topic.risks(Found(1, 1, {**one, "flush.messages": "1"}))) == 1
    assert len(kafka_topic.risks(Found(1, 1, REDPANDA))) == 1
    assert kafka_topic.risks(Found(1, 3, FIT)) == []


def test_a_cluster_without_topic_ids_is_reported() -> None:
    (risk,) = kafka_topic.risks(Found(1, 3, FIT, has_id=False))
    assert "the cluster gives topics no id" in risk


@kafka_only
def test_a_single_copy_topic_is_flushed_before_it_is_acknowledged(kafka: Running) -> None:
    topic = new_topic(kafka.address)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic.name)
    admin = AdminClient({"bootstrap.servers": kafka.address})
    assert admin.describe_configs([resource])[resource].result()["flush.messages"].value == "1"


@kafka_only
def test_a_suitable_topic_is_accepted_and_recognised_again(kafka: Running) -> None:
    first = new_topic(kafka.address)
    assert kafka_topic.find(kafka.address, first.name) == first
    assert first.identity.startswith("kafka:")
    assert f"/{first.name}/" in first.identity
    delete_topic(kafka.address, first.name)
    until(lambda: is_recreated(kafka.address, first.name), "the topic to be gone")
    assert kafka_topic.find(kafka.address, first.name).identity != first.identity


@kafka_only
def test_the_command_can_be_repeated_and_refuses_an_unsuitable_topic(kafka: Running, settings: Settings) -> None:
    settings.KAFKA_BOOTSTRAP_SERVERS = kafka.address
    settings.KAFKA_COMMAND_TOPIC = name = f"test-{secrets.token_hex(6)}"

    def command() -> str:
        told = StringIO()
        call_command("create_command_topic", "--copies", "1", stdout=told)
        return told.getvalue()

    assert command() == f"created topic {name} with 1 copies\n"
    until_known(kafka.address, name)
    assert command() == f"topic {name} exists, with the required settings\n"

    settings.KAFKA_COMMAND_TOPIC = spoiled = f"test-{secrets.token_hex(6)}"
    admin = AdminClient({"bootstrap.servers": kafka.address})
    admin.create_topics([NewTopic(spoiled, 2, 1)])[spoiled].result()
    until_known(kafka.address, spoiled)
    with pytest.raises(CommandError, match="it has 2 partitions and must have one") as refused:
        command()
    assert refused.value.returncode == 2


@kafka_only
def test_a_missing_topic_is_reported_with_the_remedy(kafka: Running) -> None:
    remedy = "no topic nowhere-to-be-found: create it with manage.py create_command_topic"
    with pytest.raises(LogNotReady, match=remedy):
        kafka_topic.find(kafka.address, "nowhere-to-be-found")


def test_an_unreachable_kafka_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_topic, "TIMEOUT_S", 1.0)
    with pytest.raises(LogNotReady, match="does not answer: start it, or correct KAFKA_BOOTSTRAP_SERVERS"):
        kafka_topic.find(free_http_address(), "any")


@kafka_only
def test_a_kafka_with_another_security_protocol_does_not_answer(
    kafka: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_topic, "TIMEOUT_S", 2.0)
    with pytest.raises(LogNotReady, match="or KAFKA_OPTIONS if it requires TLS or a password"):
        kafka_topic.find(kafka.address, "any", {"security.protocol": "ssl"})


def test_an_option_that_the_client_does_not_know_is_named_without_its_value() -> None:
    options = {"sasl.pasword": "hunter2", "security.protocol": "sasl_plaintext"}
    with pytest.raises(LogNotReady, match=r"with sasl\.pasword, security\.protocol of KAFKA_OPTIONS") as raised:
        kafka_topic.find("127.0.0.1:9", "any", options)
    assert "hunter2" not in str(raised.value)
