"""One of several engines that read the same Kafka topic."""
