#!/bin/sh
# Creates the topic of the commands, if it does not exist: one partition, because replicas agree by the order of
# commands; the broker's time, because no client may set a block's time; unlimited retention, because a replica may
# begin at its start. Safe to repeat. An existing topic is not changed; the engines refuse one whose settings are wrong.
#
# Environment: KAFKA_BOOTSTRAP_SERVERS, KAFKA_COMMAND_TOPIC.
set -eu

brokers=${KAFKA_BOOTSTRAP_SERVERS:?is not set}
topic=${KAFKA_COMMAND_TOPIC:?is not set}

topics=$(rpk topic list -X "brokers=$brokers")
if printf '%s\n' "$topics" | grep -q "^${topic}[[:space:]]"; then
    echo "topic $topic exists"
    exit 0
fi
rpk topic create "$topic" -X "brokers=$brokers" --partitions 1 --replicas 1 \
    --topic-config cleanup.policy=delete \
    --topic-config retention.ms=-1 \
    --topic-config retention.bytes=-1 \
    --topic-config message.timestamp.type=LogAppendTime \
    --topic-config write.caching=false \
    --topic-config max.message.bytes=4194304
