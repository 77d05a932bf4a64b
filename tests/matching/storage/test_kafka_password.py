"""A Kafka that requires a password: each Kafka client of an engine uses the configured login."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from matching.client.client import Client
from matching.core.errors import LogNotReady
from matching.storage.input_logs import kafka_topic
from matching.storage.input_logs.kafka import KafkaLog
from matching.workloads.btc_usd import DEFINITIONS
from scripts.services import Kafka, Running, Server
from tests.matching.histories import MemoryHistory
from tests.matching.small_exchange import plan, replica_with, services, until

pytestmark = pytest.mark.services("kafka")

OPTIONS = {
    "security.protocol": "SASL_PLAINTEXT",
    "sasl.mechanism": "PLAIN",
    "sasl.username": "exchange",
    "sasl.password": "0pen",
}
SETTINGS = {
    "listener.security.protocol.map": "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "sasl.enabled.mechanisms": "PLAIN",
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "listener.name.plaintext.plain.sasl.jaas.config": (
        "org.apache.kafka.common.security.plain.PlainLoginModule required "
        'username="exchange" password="0pen" user_exchange="0pen";'
    ),
}


@dataclass(frozen=True)
class WithPassword(Kafka):
    def answers(self, port: int) -> bool:
        try:
            admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0, **OPTIONS})
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False


@pytest.fixture
def secured(launch: Callable[[Server], Running]) -> str:
    return launch(WithPassword(settings=SETTINGS)).address


def test_a_kafka_with_a_password_works_with_the_right_password(secured: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kafka_topic.create(secured, "commands", 1, OPTIONS)

    def found() -> kafka_topic.Topic | None:
        try:
            return kafka_topic.find(secured, "commands", OPTIONS)
        except LogNotReady:  # brokers take a moment to know a new topic
            return None

    until(found, "the topic")
    topic = found()
    assert topic is not None
    with (
        closing(KafkaLog(secured, topic, OPTIONS)) as log,
        replica_with(plan(), services(MemoryHistory()), log) as one,
        Client(one.commands) as client,
    ):
        assert all(result.rejected is None for result in client.call(DEFINITIONS))

    monkeypatch.setattr(kafka_topic, "TIMEOUT_S", 3.0)
    wrong = {**OPTIONS, "sasl.password": "hunter2"}
    for options in (wrong, {}):
        with pytest.raises(LogNotReady, match="KAFKA_OPTIONS if it requires TLS or a password") as refused:
            kafka_topic.find(secured, "commands", options)
        assert "hunter2" not in str(refused.value)
