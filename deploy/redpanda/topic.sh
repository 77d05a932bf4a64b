#!/bin/sh
# Makes the topic of the commands, if it is not there: one partition, since the order of commands is what replicas agree
# by; the broker's clock, since no client may choose a block's time; kept for ever, since a replica may begin at its start.
# Safe to run again; a topic that is there is left as it is, and the engines refuse one that will not do.
#
# Environment: KAFKA_BOOTSTRAP_SERVERS, KAFKA_COMMAND_TOPIC.
set -eu

brokers=${KAFKA_BOOTSTRAP_SERVERS:?is not set}
topic=${KAFKA_COMMAND_TOPIC:?is not set}

topics=$(rpk topic list -X "brokers=$brokers")
if printf '%s\n' "$topics" | grep -q "^${topic}[[:space:]]"; then
    echo "topic $topic is there"
    exit 0
fi
rpk topic create "$topic" -X "brokers=$brokers" --partitions 1 --replicas 1 \
    --topic-config cleanup.policy=delete \
    --topic-config retention.ms=-1 \
    --topic-config retention.bytes=-1 \
    --topic-config message.timestamp.type=LogAppendTime \
    --topic-config write.caching=false \
    --topic-config max.message.bytes=4194304
